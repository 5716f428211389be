"""Calls the tea service: python3 tea_client.py tcp://127.0.0.1:5555"""
import sys

from mesh_client import Client
from mesh_wire import Error

client = Client(sys.argv[1:])
print(client.call("tea.brew", {"kind": "black"}, timeout=5)["text"])
for value in client.stream("tea.pour", {"cups": 3}, timeout=5):
    print("cup", value["cup"])
try:
    client.call("tea.brew", {"kind": "coffee"}, timeout=5)
except Error as e:
    print(e.code, e.message)
client.close()
