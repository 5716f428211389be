"""A broker of MDP/0.2 and nothing else, written from RFC 18 and RFC 8: broker02.py INTERVAL_MS [ADDRESS]."""
import sys

from broker01 import Broker01


class Broker02(Broker01):
    client, worker, start = b"MDPC02", b"MDPW02", []
    READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT = (bytes([n]) for n in range(1, 7))

    def read_request(self, frames):
        assert frames[0] == b"\1", frames
        return frames[1], frames[2:]

    def to_client(self, peer, last, service, body):
        self.socket.send_multipart([peer, self.client, b"\3" if last else b"\2", service, *body])


if __name__ == "__main__":
    Broker02(*sys.argv[1:]).run()
