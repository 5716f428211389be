"""A worker that a test works: worker.py KIND BROKER SERVICE INTERVAL_MS CAPACITY. It tells what happens in lines of JSON; a line
of input lets the requests go that are held."""
import asyncio, json, logging, math, signal, sys, threading, time

from mesh_wire import Error
from mesh_worker import Worker
from plain import Worker01, Worker02

kind, broker, service, interval_ms, capacity = sys.argv[1:]
lock, free, parties = threading.Lock(), threading.Event(), {}


def tell(event, **members):
    with lock:
        print(json.dumps({"event": event, **members}), flush=True)


def echo(request, params):
    return params


def fail(request, params):
    raise Error(params["code"], params["message"], params.get("data"))


def crash(request, params):
    raise RuntimeError("nobody should see this")


def odd(request, params):
    """Ends in a way that JSON has no words for."""
    if params["how"] == "result":
        return float("nan")
    if params["how"] == "data":
        raise Error(4711, "odd", object())


def hold(request, params):
    """Waits until it is let go, or cancelled."""
    tell("held", name=params.get("name"), attempt=request and request.attempt)
    while not free.wait(0.01):
        if request and request.cancelled.is_set():
            tell("cancelled", name=params.get("name"))
            raise Error(-32005, "cancelled")
    return {"by": service}


def meet(request, params):
    """Waits until as many requests are here at once."""
    with lock:
        party = parties.setdefault(params["n"], threading.Barrier(params["n"]))
    party.wait(20)
    return {"met": params["n"]}


def sleep(request, params):
    time.sleep(params["ms"] / 1000)
    return {}


def about(request, params):
    left = request.left()
    return {"left_ms": None if math.isinf(left) else int(1000 * left), "attempt": request.attempt, "caller": request.caller, "meta": request.meta}


def count(request, params):
    try:
        for n in range(1, params["n"] + 1):
            yield {"n": n}
    finally:
        tell("counted", n=n)


METHODS = {f.__name__: f for f in (echo, fail, crash, odd, hold, meet, sleep, about, count)}


def plain(body):
    """Serves JSON-RPC, and sends anything else back as it came; of "stream", … each frame by itself."""
    try:
        [frame] = body
        call = json.loads(frame.decode())
        method, params = call["method"].rpartition(".")[2], call.get("params", {})
    except (ValueError, KeyError, TypeError, RecursionError):
        yield from ([frame] for frame in body[1:]) if body[0] == b"stream" else [body]
        return

    if method == "garble":
        yield [b"no JSON"]
        return

    def reply(**outcome):
        return [json.dumps({"jsonrpc": "2.0", "id": call.get("id"), **outcome}).encode() if "id" in call else b""]
    try:
        result = METHODS[method](None, params)
        if method == "count":
            yield from (reply(result=value) for value in result)
            result = None
        yield reply(result=result)
    except Error as e:
        yield reply(error=e.wire())
    except Exception:
        yield reply(error=Error(-32603, "it failed").wire())


def let_go():
    for _ in sys.stdin:
        free.set()


async def registered():
    methods = METHODS.copy()
    worker = Worker([broker], service, methods, ["echo", "hold"] if not service.startswith("once") else [], int(capacity), service)
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, worker.stopped.set)
    tell("connected")
    await worker.run()
    tell("stopped")


logging.basicConfig(level=logging.INFO)
threading.Thread(target=let_go, daemon=True).start()
if kind == "mesh":
    asyncio.run(registered())
else:
    worker = {"01": Worker01, "02": Worker02}[kind](broker, service.encode(), plain, int(interval_ms) / 1000, tell)
    signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "stopped", True))
    worker.run()
