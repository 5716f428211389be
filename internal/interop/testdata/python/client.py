"""A client that a test works: client.py KIND BROKER. Commands come as lines of JSON, and so do outcomes leave."""
import json, sys, threading

import zmq

from mesh_client import Client
from mesh_wire import Error
from plain import Client01, Client02

MAKE = {
    "req01": lambda broker: Client01(broker),
    "correlate01": lambda broker: Client01(broker, REQ_CORRELATE=1, REQ_RELAXED=1),
    "dealer01": lambda broker: Client01(broker, zmq.DEALER),
    "dealer02": lambda broker: Client02(broker),
    "named01": lambda broker: Client01(broker, ROUTING_ID=b"till"),
    "beating02": lambda broker: Client02(broker, HEARTBEAT_IVL=20, HEARTBEAT_TTL=2000, HEARTBEAT_TIMEOUT=20_000),
    "mesh": lambda broker: Client(broker.split()),
}
lock = threading.Lock()


def tell(**members):
    with lock:
        print(json.dumps(members), flush=True)


def plain(client, c):
    """Does what a client of JSON-RPC does, with a client that knows frames alone."""
    if c["do"] == "request":
        reply = client.ask(c["service"].encode(), [bytes.fromhex(frame) for frame in c["body"]], c["timeout_ms"] / 1000)
        return {"timeout": True} if reply is None else {"body": [frame.hex() for frame in reply]}
    call = {"jsonrpc": "2.0", "id": c["n"], "method": c["method"], "meta": {"timeout_ms": c["timeout_ms"]}, "params": c["params"]}
    reply = client.ask((c.get("service") or c["method"].rpartition(".")[0]).encode(), [json.dumps(call).encode()], c["timeout_ms"] / 1000 + 1)
    if reply is None:
        return {"timeout": True}
    replies = [json.loads(frame) for frame in reply]
    assert all(r["jsonrpc"] == "2.0" and r["id"] == c["n"] for r in replies), reply
    if "error" in replies[-1]:
        return {"error": replies[-1]["error"]}
    if c["do"] == "stream":
        return {"values": [r["result"] for r in replies[:-1]]}
    return {"result": replies[-1]["result"]}


def mesh(client, c):
    try:
        if c["do"] == "call":
            return {"result": client.call(c["method"], c["params"], c["timeout_ms"] / 1000, c.get("key"), c.get("attempts", 4))}
        values = []
        for value in client.stream(c["method"], c["params"], c["timeout_ms"] / 1000, c["window"]):
            values.append(value)
            if len(values) == c.get("stop"):
                break
        return {"values": values}
    except Error as e:
        return {"error": {**e.wire(), "handed_over": e.handed_over()}}


def do(client, c):
    try:
        tell(n=c["n"], **(mesh if isinstance(client, Client) else plain)(client, c))
    except Exception as e:
        tell(n=c["n"], broken=repr(e))
        raise


def main():
    kind, broker = sys.argv[1:]
    client = MAKE[kind](broker)
    tell(event="ready")
    for line in sys.stdin:
        if kind == "mesh":
            threading.Thread(target=do, args=(client, json.loads(line)), daemon=True).start()
        else:
            do(client, json.loads(line))
    if kind == "mesh":
        client.close()


main()
