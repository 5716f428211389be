"""A client of a mesh, to copy: calls with a deadline, errors as exceptions, streams. Threads may share one.

A thread of the client's owns the socket: calls leave what they send in a queue, and wait in another for their replies.
docs/protocol.md explains the steps.
"""
import itertools, json, logging, queue, random, select, socket, threading, time

import zmq

from mesh_wire import ASK, CLIENT, LAST, Error, encode

EXPIRED, BROKER_LOST = -32003, -32014
AGAIN = NO_WORKER, OVERLOADED, DRAINING = -32001, -32002, -32007  # what may be otherwise in a moment


def notice(method, params):
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


class Client:
    def __init__(self, brokers):
        self.brokers, self.ids, self.closed = itertools.cycle(brokers), itertools.count(1), False
        self.outbox, (self.woken, self.wake) = queue.SimpleQueue(), socket.socketpair()
        self.wake.setblocking(False)
        self.unsent, self.waiting = {}, {}  # by id: what waits for a broker, and for replies; the thread's own
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def call(self, method, params=None, timeout=30, key=None, attempts=4):
        """Returns the result or raises an Error. What is sent twice with one key runs once."""
        deadline, ceiling = time.monotonic() + timeout, 0.02
        while True:
            try:
                for last, result in self.exchange(method, params, deadline, {"key": key} if key else {}):
                    if last:
                        return result
            except Error as e:
                wait = max(random.uniform(0, ceiling), e.retry_after())
                attempts, ceiling = attempts - 1, min(2 * ceiling, 2)
                # Only what surely no worker was given is sent again.
                if e.handed_over() or e.code not in AGAIN or attempts < 1 or time.monotonic() + wait >= deadline:
                    raise
                time.sleep(wait)

    def stream(self, method, params=None, timeout=30, window=32):
        """Yields the values of a stream. Whoever stops reading cancels it."""
        for last, value in self.exchange(method, params, time.monotonic() + timeout, {"window": window}):
            if not last:
                yield value

    def close(self):
        self.closed = True
        self.rouse()
        self.thread.join()

    def exchange(self, method, params, deadline, meta):
        """Sends a request once, and yields the result of each of its replies, with whether it is the last."""
        id, replies, read, half, ended = next(self.ids), queue.SimpleQueue(), 0, max(1, meta.get("window", 0) // 2), False
        meta = {**meta, "timeout_ms": max(0, int(1000 * (deadline - time.monotonic())))}
        self.post(id, method.rpartition(".")[0], encode(id, method=method, meta=meta, params={} if params is None else params), replies)
        try:
            while not ended:
                # The broker says so when the time is over; it is waited for a little longer than that.
                ended, reply = replies.get(timeout=max(0, deadline - time.monotonic()) + 0.5)
                if reply.get("error") is not None:
                    ended = True
                    raise Error.read(reply["error"])
                yield ended, reply.get("result")
                read += 1
                if read == half and "window" in meta:
                    self.post(id, "mmi.credit", notice("mmi.credit", {"id": id, "n": read}))
                    read = 0
        except queue.Empty:
            raise Error(EXPIRED, "no reply in time") from None
        finally:
            if not ended:
                self.post(id)

    def post(self, id, service=None, body=None, replies=None):
        """Leaves something for the thread: a request, credit for it, or that nobody waits for it any more."""
        self.outbox.put((id, service, body, replies))
        self.rouse()

    def rouse(self):
        try:
            self.wake.send(b"\0")
        except BlockingIOError:
            pass  # it was woken often enough

    # What follows runs in the client's thread.

    def run(self):
        ceiling = 0.1
        while not self.closed:
            with zmq.Context.instance().socket(zmq.DEALER) as link:
                link.linger = 0
                link.connect(next(self.brokers))
                try:
                    known = self.serve(link)
                except Exception:  # a broker that sends what it shouldn't
                    logging.exception("the connection is given up")
                    known = False
                ceiling = 0.1 if known else min(2 * ceiling, 30)
                link.disable_monitor()
            lost, self.waiting = self.waiting, {}
            for replies in lost.values():
                replies.put((True, {"error": {"code": BROKER_LOST, "message": "the connection to the broker was lost"}}))
            until = time.monotonic() + random.uniform(0, ceiling)
            while not self.closed and (left := until - time.monotonic()) > 0:
                if select.select([self.woken], [], [], left)[0]:
                    self.woken.recv(4096)
                self.collect(None)

    def serve(self, link):
        """Serves one connection, and says whether its broker was a good one. Nothing is sent before that is known."""
        interval, liveness, known, leaving, poller = 2.5, 3, False, False, zmq.Poller()
        lost = link.get_monitor_socket(zmq.EVENT_DISCONNECTED)  # ZeroMQ would connect again, and say nothing
        for source in link, lost, self.woken:
            poller.register(source, zmq.POLLIN)
        heard = said = pinged = time.monotonic()
        self.send(link, "mmi.ping", encode("ping", method="mmi.ping"))
        while not self.closed and not (leaving and not self.waiting):
            now = time.monotonic()
            if now >= heard + interval * liveness:
                return known
            if now >= (ask := max(pinged, min(heard, said)) + interval):
                self.send(link, "mmi.ping", encode("ping", method="mmi.ping"))
                said = pinged = now
                continue
            ready = dict(poller.poll(1000 * (min(ask, heard + interval * liveness) - now)))
            if self.woken.fileno() in ready:
                self.woken.recv(4096)
            if lost in ready and link not in ready:  # what has come is read before
                return known
            if link in ready:
                _, command, service, *body = link.recv_multipart()
                heard = time.monotonic()
                try:
                    reply = dict(json.loads(body[0].decode()))
                except (ValueError, TypeError, RecursionError):
                    continue  # the empty answer to a notification, or nothing that anybody waits for
                id, error = reply.get("id"), reply.get("error")
                if service == b"mmi.ping":
                    known, leaving = True, leaving or reply["result"].get("draining", False)
                    interval, liveness = reply["result"]["heartbeat_ms"] / 1000, reply["result"]["liveness"]
                elif type(id) is int and id in self.waiting:  # a worker may have written anything
                    leaving = leaving or isinstance(error, dict) and error.get("code") == DRAINING
                    self.waiting[id].put((command == LAST, reply))
                    if command == LAST:
                        del self.waiting[id]
            if self.collect(link, known and not leaving):
                said = time.monotonic()
        return known and not leaving

    def collect(self, link, takes=False):
        """Takes what callers left, sends it as far as the broker takes it, and says whether it sent something."""
        sent = False
        while not self.outbox.empty():
            id, service, body, replies = self.outbox.get()
            if replies:
                self.unsent[id] = service, body, replies
            elif id in self.waiting:
                if not service:
                    del self.waiting[id]
                    service, body = "mmi.cancel", notice("mmi.cancel", {"id": id})
                self.send(link, service, body)
                sent = True
            elif not service:
                self.unsent.pop(id, None)  # it is never sent
        while takes and self.unsent:
            id = next(iter(self.unsent))
            service, body, self.waiting[id] = self.unsent.pop(id)
            self.send(link, service, body)
            sent = True
        return sent

    def send(self, link, service, body):
        link.send_multipart([CLIENT, ASK, service.encode(), body])
