"""Reads and writes the golden messages: golden.py DIRECTORY. The tables are those of docs/protocol.md."""
import json, pathlib, sys, unicodedata

from mesh_wire import Request

# (version, header, command, receiver) -> kind. Clients of 0.1 have no command byte.
WORKER = [(b"\1", "ready", "broker"), (b"\2", "worker request", "worker")]
KINDS = {("0.1", b"MDPC01", None, "broker"): "client request"}
for receiver in "client", "worker":  # a worker is also a client
    KINDS |= {("0.1", b"MDPC01", None, receiver): "client final",
              ("0.2", b"MDPC02", b"\2", receiver): "client partial", ("0.2", b"MDPC02", b"\3", receiver): "client final"}
KINDS |= {("0.2", b"MDPC02", b"\1", "broker"): "client request"}
KINDS |= {("0.1", b"MDPW01", c, to): kind for c, kind, to in [*WORKER, (b"\3", "worker final", "broker")]}
KINDS |= {("0.2", b"MDPW02", c, to): kind
          for c, kind, to in [*WORKER, (b"\3", "worker partial", "broker"), (b"\4", "worker final", "broker")]}
for receiver in "broker", "worker":
    KINDS |= {("0.1", b"MDPW01", b"\4", receiver): "heartbeat", ("0.1", b"MDPW01", b"\5", receiver): "disconnect"}
    KINDS |= {("0.2", b"MDPW02", b"\5", receiver): "heartbeat", ("0.2", b"MDPW02", b"\6", receiver): "disconnect"}
HEADERS = {b"MDPC01": "0.1", b"MDPW01": "0.1", b"MDPC02": "0.2", b"MDPW02": "0.2"}


class Invalid(Exception):
    pass


def want(ok, at):
    if not ok:
        raise Invalid(at)


def parse(to, frames):
    want(frames, -1)
    envelope, at = [], 0
    if HEADERS.get(frames[0]) != "0.2":
        want(b"" in frames, 0)
        envelope, at = frames[:frames.index(b"")], frames.index(b"") + 1
        want(len(envelope) <= 8, 8)
        want(at < len(frames) and HEADERS.get(frames[at]) == "0.1", at)
    header, at = frames[at], at + 1
    version, command = HEADERS[header], None
    if header != b"MDPC01":
        want(at < len(frames), at)
        command, at = frames[at], at + 1
    kind = KINDS.get((version, header, command, to))
    want(kind, at - 1)
    want(not envelope or kind == "client request", 0)
    found = {"version": version, "kind": kind}
    if envelope:
        found["envelope"] = envelope
    if kind == "ready" or kind.startswith("client"):
        want(at < len(frames), at)
        found["service"], at = frames[at], at + 1
    elif kind.startswith("worker"):
        want(at < len(frames) and frames[at], at)
        want(at + 1 < len(frames) and frames[at + 1] == b"", at + 1)
        found["address"], at = frames[at], at + 2
    if kind.startswith(("client", "worker")):
        want(at < len(frames), at)
        return found | {"body": frames[at:]}
    want(at == len(frames), at)
    return found


def build(to, c):
    [(header, command)] = [(h, b) for (version, h, b, receiver), kind in KINDS.items()
                           if (version, kind, receiver) == (c["version"], c["kind"], to)]
    frames = [*c.get("envelope", []), b""] if c["version"] == "0.1" else []
    frames += [header] if command is None else [header, command]
    frames += [c["service"]] if "service" in c else []
    frames += [c["address"], b""] if "address" in c else []
    return frames + c.get("body", [])


def frame(s):
    return bytes.fromhex(s[2:]) if s.startswith("0x") else s.encode()


def read(members):
    """Makes the frames among a command's members bytes."""
    return {name: [frame(s) for s in v] if isinstance(v, list) else frame(v) if name in ("service", "address") else v
            for name, v in members.items()}


def good_name(name):
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    return 0 < len(name) <= 255 and all(c == " " or unicodedata.category(c)[0] in "LMNPS" for c in text)


def main(directory):
    load = lambda name: json.loads((pathlib.Path(directory) / name).read_text())
    for case in load("frames.json"):
        name, to, frames = case["name"], case["to"], [frame(s) for s in case["frames"]]
        try:
            got = parse(to, frames)
        except Invalid as e:
            assert "error" in case, (name, "is valid", e)
            continue
        assert "command" in case, (name, "isn't valid", got)
        assert got == read(case["command"]), (name, got)
        assert build(to, got) == frames, (name, build(to, got))
    for case in load("services.json"):
        name = frame(case["service"])
        assert good_name(name) == case["valid"], case["name"]
        assert name.startswith(b"mmi.") == case["reserved"], case["name"]
    for case in load("addresses.json"):
        address = frame(case["frame"])
        if case["form"] == "registered":
            r = Request(address, [b""])
            assert (address[1:9].hex(), r.attempt, r.caller) == (case["token"], case["attempt"], case["caller"]), case["name"]
            assert (case["remaining_ms"] or 0) / 1000 - 1 < (r.left() if case["remaining_ms"] is not None else 0), case["name"]
            assert (case["remaining_ms"] is None) == (r.left() == float("inf")), case["name"]
            assert int.from_bytes(address[14:16], "big") == case["service"], case["name"]
        elif case["form"] == "plain":
            assert len(address) == 16 and set(address) <= set(b"0123456789abcdef") and address.decode() == case["token"], case["name"]
    print("ok")


if __name__ == "__main__":
    main(sys.argv[1])
