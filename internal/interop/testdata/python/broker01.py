"""A broker of MDP/0.1 and nothing else, written from RFC 7 and RFC 8: broker01.py INTERVAL_MS [ADDRESS]. Like many, it sends heartbeats to
idle workers only, and doesn't survive what it can't read."""
import collections, json, sys, time

import zmq


class Worker:
    def __init__(self, service, until):
        self.service, self.until, self.client = service, until, None


class Broker01:
    client, worker, start = b"MDPC01", b"MDPW01", [b""]
    READY, REQUEST, FINAL, HEARTBEAT, DISCONNECT = b"\1", b"\2", b"\3", b"\4", b"\5"
    PARTIAL = None

    def __init__(self, interval_ms, addr="tcp://127.0.0.1:*"):
        self.interval, self.workers = int(interval_ms) / 1000, {}
        self.queued, self.idle = collections.defaultdict(collections.deque), collections.defaultdict(collections.deque)
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.bind(addr)

    def tell(self, event, **members):
        print(json.dumps({"event": event, **members}), flush=True)

    def run(self):
        self.tell("listening", addr=self.socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
        beat = time.monotonic() + self.interval
        while True:
            if self.socket.poll(1000 * max(0, beat - time.monotonic())):
                peer, *frames = self.socket.recv_multipart()
                n = len(self.start)
                header = frames[n] if frames[:n] == self.start else None
                if header == self.client:
                    self.from_client(peer, frames[n + 1:])
                elif header == self.worker:
                    self.from_worker(peer, frames[n + 1], frames[n + 2:])
                else:
                    sys.exit(f"can't read {frames}")
            if time.monotonic() >= beat:
                beat = time.monotonic() + self.interval
                for peer, w in list(self.workers.items()):
                    if w.client is None and w.until < time.monotonic():
                        self.forget(peer)
                    elif w.client is None:
                        self.to_worker(peer, self.HEARTBEAT)

    def read_request(self, frames):
        return frames[0], frames[1:]

    def to_client(self, peer, last, service, body):
        self.socket.send_multipart([peer, b"", self.client, service, *body])

    def to_worker(self, peer, command, *frames):
        self.socket.send_multipart([peer, *self.start, self.worker, command, *frames])

    def from_client(self, peer, frames):
        service, body = self.read_request(frames)
        if service.startswith(b"mmi."):
            known = any(w.service == body[0] for w in self.workers.values())
            code = b"501" if service != b"mmi.service" else b"200" if known else b"404"
            return self.to_client(peer, True, service, [code])
        self.queued[service].append((peer, body))
        self.dispatch(service)

    def from_worker(self, peer, command, frames):
        w = self.workers.get(peer)
        if command == self.READY and w is None:
            self.workers[peer] = Worker(frames[0], time.monotonic() + 3 * self.interval)
            self.idle[frames[0]].append(peer)
            self.tell("worker", service=frames[0].decode())
            return self.dispatch(frames[0])
        if command == self.DISCONNECT:
            return w and self.forget(peer)
        if w is None or command == self.READY or (command in (self.PARTIAL, self.FINAL) and w.client != frames[0]):
            self.to_worker(peer, self.DISCONNECT)
            return w and self.forget(peer)
        w.until = time.monotonic() + 3 * self.interval
        if command in (self.PARTIAL, self.FINAL):
            self.to_client(w.client, command == self.FINAL, w.service, frames[2:])
        if command == self.FINAL:
            w.client = None
            self.idle[w.service].append(peer)
            self.dispatch(w.service)

    def dispatch(self, service):
        while self.queued[service] and self.idle[service]:
            (client, body), peer = self.queued[service].popleft(), self.idle[service].popleft()
            self.workers[peer].client = client
            self.to_worker(peer, self.REQUEST, client, b"", *body)

    def forget(self, peer):
        w = self.workers.pop(peer)
        if peer in self.idle[w.service]:
            self.idle[w.service].remove(peer)
        self.tell("gone", service=w.service.decode())


if __name__ == "__main__":
    Broker01(*sys.argv[1:]).run()
