"""A service to begin with: python3 tea_worker.py tcp://127.0.0.1:5555"""
import asyncio, logging, signal, sys, time

from mesh_wire import Error
from mesh_worker import Worker


def brew(request, params):
    if params.get("kind") not in ("black", "green"):
        raise Error(-32602, "/kind is neither black nor green", {"faults": [{"path": "/kind", "message": "is neither black nor green"}]})
    for _ in range(params.get("minutes", 0)):
        if request.cancelled.is_set() or not request.left():
            raise Error(-32005, "stopped brewing")
        time.sleep(1)  # it is a fast kettle
    return {"text": f"a cup of {params['kind']} tea"}


def pour(request, params):
    for cup in range(params["cups"]):
        yield {"cup": cup + 1}


async def main():
    worker = Worker(sys.argv[1:], "tea", {"brew": brew, "pour": pour}, idempotent=["brew"], instance="python-tea")
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, worker.stopped.set)
    await worker.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
