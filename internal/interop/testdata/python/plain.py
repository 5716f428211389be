"""Clients and workers of plain Majordomo, written from RFC 7 (MDP/0.1) and RFC 18 (MDP/0.2)."""
import time

import zmq


class Client01:
    """Speaks MDP/0.1 over a REQ socket, or with kind=zmq.DEALER over one of those."""

    def __init__(self, broker, kind=zmq.REQ, **options):
        self.kind, self.socket = kind, zmq.Context.instance().socket(kind)
        self.socket.linger = 0
        for name, value in options.items():
            self.socket.set(getattr(zmq, name), value)
        self.socket.connect(broker)

    def ask(self, service, body, timeout):
        """Returns the frames of the reply, those of partial ones first, or None when the time is over."""
        self.send(service, body)
        end, parts = time.monotonic() + timeout, []
        while self.socket.poll(1000 * max(0, end - time.monotonic())):
            frames = self.receive(service)
            parts += frames[1]
            if frames[0]:
                return parts
        return None

    def send(self, service, body):
        self.socket.send_multipart([b""] * (self.kind == zmq.DEALER) + [b"MDPC01", service, *body])

    def receive(self, service):
        frames = self.socket.recv_multipart()
        if self.kind == zmq.DEALER:
            assert frames.pop(0) == b"", frames
        assert frames[:2] == [b"MDPC01", service] and len(frames) > 2, frames
        return True, frames[2:]


class Client02(Client01):
    def __init__(self, broker, **options):
        super().__init__(broker, zmq.DEALER, **options)

    def send(self, service, body):
        self.socket.send_multipart([b"MDPC02", b"\1", service, *body])

    def receive(self, service):
        header, command, name, *body = self.socket.recv_multipart()
        assert header == b"MDPC02" and command in (b"\2", b"\3") and name == service and body, (header, command, name)
        return command == b"\3", body


class Worker01:
    """Serves one request at a time, and sends no heartbeat meanwhile: handle(body) yields bodies, the last one is the reply."""

    header, start = b"MDPW01", [b""]
    READY, REQUEST, FINAL, HEARTBEAT, DISCONNECT = b"\1", b"\2", b"\3", b"\4", b"\5"
    PARTIAL = None

    def __init__(self, broker, service, handle, interval, told):
        self.broker, self.service, self.handle, self.interval, self.told = broker, service, handle, interval, told
        self.stopped = False

    def run(self):
        while not self.stopped:
            with zmq.Context.instance().socket(zmq.DEALER) as self.socket:
                self.socket.connect(self.broker)
                self.send(self.READY, self.service)
                self.told("connected")
                self.serve()
                self.socket.linger = 1000
        self.told("stopped")

    def send(self, command, *frames):
        self.socket.send_multipart([*self.start, self.header, command, *frames])

    def serve(self):
        heard = time.monotonic()
        beat = heard + self.interval
        while time.monotonic() < heard + 3 * self.interval:
            if self.stopped:
                return self.send(self.DISCONNECT)
            if self.socket.poll(min(50, 1000 * self.interval / 2)):
                frames = self.socket.recv_multipart()
                n = len(self.start)
                assert frames[:n + 1] == [*self.start, self.header], frames
                command, rest = frames[n + 1], frames[n + 2:]
                if command == self.DISCONNECT:
                    return self.told("disconnected")
                if command == self.REQUEST:
                    address, empty, *body = rest
                    assert empty == b"" and body, frames
                    self.work(address, body)
                heard = time.monotonic()
            if time.monotonic() >= beat:
                self.send(self.HEARTBEAT)
                beat = time.monotonic() + self.interval

    def work(self, address, body):
        before = None
        for reply in self.handle(body):
            if before is not None and self.PARTIAL:
                self.send(self.PARTIAL, address, b"", *before)
            before = before + reply if before is not None and not self.PARTIAL else reply
        self.send(self.FINAL, address, b"", *before)


class Worker02(Worker01):
    header, start = b"MDPW02", []
    READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT = (bytes([n]) for n in range(1, 7))
