"""A client that never reads what it is sent: deaf.py BROKER HELD SERVICE COUNT. It has one request held at one service, and sends
many to another."""
import json, sys, time

import zmq

broker, held, service, count = sys.argv[1:]
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.setsockopt(zmq.RCVHWM, 1)
socket.setsockopt(zmq.RCVBUF, 4096)
socket.setsockopt(zmq.SNDHWM, 0)
socket.connect(broker)
call = {"jsonrpc": "2.0", "id": 1, "method": held + ".hold", "params": {"name": "deaf"}}
socket.send_multipart([b"MDPC02", b"\1", held.encode(), json.dumps(call).encode()])
sys.stdin.readline()
for _ in range(int(count)):
    socket.send_multipart([b"MDPC02", b"\1", service.encode(), bytes(1 << 16)])
print(json.dumps({"event": "sent"}), flush=True)
sys.stdin.read()
socket.close(0)
