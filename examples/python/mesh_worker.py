"""A worker of a mesh, to copy: it registers, and serves many requests at once, each in a thread.

An event loop owns the socket; handlers are plain functions and may block. docs/protocol.md explains the steps.
"""
import asyncio, collections, inspect, itertools, json, logging, os, random, socket, time
from concurrent.futures import ThreadPoolExecutor

import zmq, zmq.asyncio

from mesh_wire import ASK, CLIENT, DISCONNECT, FINAL, HEARTBEAT, PARTIAL, READY, REQUEST, WORKER, Request, encode


class Worker:
    """Serves the methods of one service: name -> handler(request, params). The values of a generator are a stream."""

    def __init__(self, brokers, service, methods, idempotent=(), capacity=8, instance=""):
        contract = [{"name": name, "idempotent": name in idempotent, "stream": inspect.isgeneratorfunction(handler)}
                    for name, handler in methods.items()]
        self.registration = {"instance": instance, "host": socket.gethostname(), "pid": os.getpid(), "cancel": True,
                             "credit": True, "services": [{"name": service, "methods": contract}]}
        self.methods = {f"{service}.{name}": handler for name, handler in methods.items()}
        self.brokers, self.service, self.capacity = itertools.cycle(brokers), service, capacity
        self.pool, self.tasks, self.stopped = ThreadPoolExecutor(capacity), set(), asyncio.Event()

    async def run(self):
        """Serves brokers in turn until stopped is set, and then returns once everything that runs was answered."""
        ceiling, stopped = 0.1, asyncio.create_task(self.stopped.wait())
        while not stopped.done():
            self.requests, self.registered, self.refused, self.barrier = {}, False, False, asyncio.Event()
            self.ended = collections.deque(maxlen=1000)  # the addresses of those that had their FINAL last
            with zmq.asyncio.Context.instance().socket(zmq.DEALER) as self.link:  # always new: brokers know us by it
                self.link.connect(next(self.brokers))
                serving = asyncio.create_task(self.serve())
                await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
                if self.registered and not serving.done():
                    leaving = asyncio.create_task(self.leave())
                    await asyncio.wait([serving, leaving], return_when=asyncio.FIRST_COMPLETED)
                serving.cancel()
                lost, self.requests, self.link.linger = self.requests, {}, 1000
            for request in lost.values():
                request.cancel()
            ceiling = 0.1 if self.registered else min(2 * ceiling, 30)
            await asyncio.wait([stopped], timeout=random.uniform(0, ceiling))

    async def serve(self):
        """Serves a connection until the broker ends it, or is silent for too long."""
        self.register(self.capacity)
        self.send(WORKER, READY, self.service.encode())
        heard, interval, liveness = time.monotonic(), 2.5, 3  # until the broker says what it wants
        while (now := time.monotonic()) < heard + interval * liveness:
            if now >= self.said + interval:
                self.send(WORKER, HEARTBEAT)
            if not await self.link.poll(1000 * max(0, min(self.said + interval, heard + interval * liveness) - now)):
                continue
            header, command, *rest = await self.link.recv_multipart()
            heard = time.monotonic()
            if header == CLIENT:  # the answer to a registration
                answer = json.loads(rest[1])
                if "error" in answer or answer["result"].get("refused"):
                    return logging.error("registration refused: %s", answer)
                interval, liveness = answer["result"]["heartbeat_ms"] / 1000, answer["result"]["liveness"]
                self.registered = True
                if answer["id"] == 0:
                    self.barrier.set()
            elif command == REQUEST:
                self.take(Request(rest[0], rest[2:]))
            elif command == DISCONNECT:
                return

    def register(self, capacity):
        params = {**self.registration, "capacity": capacity}
        self.send(CLIENT, ASK, b"mmi.register", encode(capacity, method="mmi.register", params=params))

    def send(self, *frames):
        self.said = time.monotonic()
        self.link.send_multipart(frames)

    async def leave(self):
        """Takes nothing new, and says goodbye once everything that was taken was answered."""
        self.register(0)
        await self.barrier.wait()  # nothing comes behind the answer
        while self.requests:
            await asyncio.wait(self.tasks)
        self.send(WORKER, DISCONNECT)

    def take(self, request):
        if known := self.requests.get(request.address):
            known.told(request)  # the broker has word of a request that runs
        elif request.method in ("rpc.cancel", "rpc.credit") and request.address in self.ended:
            pass  # or of one that has ended; but a client may call a method so, and wants to be answered
        elif len(self.tasks) >= self.capacity:  # the broker puts it back, and waits for a FINAL or a registration
            error = {"code": -32012, "message": "no room"}
            self.send(WORKER, FINAL, request.address, b"", encode(request.id, error=error))
            self.ended.append(request.address)
            self.refused = True
        else:
            self.requests[request.address] = request
            task = asyncio.create_task(self.answer(request))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def answer(self, request):
        def part(body):  # called by the handler's thread
            loop.call_soon_threadsafe(self.reply, request, PARTIAL, body)
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self.pool, request.run, self.methods, part)
        self.reply(request, FINAL, body)
        if self.refused and not self.stopped.is_set():
            self.register(self.capacity)  # there is room now
            self.refused = False

    def reply(self, request, command, body):
        if self.requests.get(request.address) is request:  # else it is of a connection that has ended
            self.send(WORKER, command, request.address, b"", body)
            if command == FINAL:
                del self.requests[request.address]
                self.ended.append(request.address)
