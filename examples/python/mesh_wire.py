"""What worker and client share: the frames of MDP/0.2, errors, and a request as a worker sees it."""
import inspect, json, logging, math, struct, threading, time

CLIENT, WORKER = b"MDPC02", b"MDPW02"
READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT = (bytes([n]) for n in range(1, 7))  # in a worker's messages
ASK, LAST = b"\1", b"\3"  # in a client's


class Error(Exception):
    """An error as it crosses the wire: a handler raises it, and a call. Own codes lie outside of -32768 to -32000."""

    def __init__(self, code, message, data=None):
        super().__init__(f"{message} ({code})")
        self.code, self.message, self.data = code, message, data

    @classmethod
    def read(cls, error):
        """Makes an error of what a reply has as one, which may be anything."""
        code, message, data = map(error.get, ("code", "message", "data")) if isinstance(error, dict) else (None, None, None)
        right = isinstance(code, int) and isinstance(message, str)
        return cls(code, message, data) if right else cls(-32603, "the reply's error can't be read")

    def wire(self):
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}

    def said_by_broker(self):
        return self.data if -32015 <= self.code <= -32000 and isinstance(self.data, dict) else {}

    def handed_over(self):
        """Says whether a worker may have begun the request."""
        return self.said_by_broker().get("handed_over") is not False

    def retry_after(self):
        ms = self.said_by_broker().get("retry_after_ms")
        return ms / 1000 if isinstance(ms, (int, float)) else 0


def encode(id, **members):
    # NaN and the infinities are no JSON.
    return json.dumps({"jsonrpc": "2.0", "id": id, **members}, allow_nan=False).encode()


class Request:
    """What a handler works on. One that takes long should look at cancelled.is_set() and left() now and then."""

    def __init__(self, address, body):
        self.address, self.cancelled = address, threading.Event()
        if address[0] != 1:
            raise ValueError("an address of a version that nobody here knows")
        ms, self.attempt, _, self.caller = *struct.unpack(">IBH", address[9:16]), address[16:].decode()
        self.deadline = math.inf if ms == 0xFFFFFFFF else time.monotonic() + ms / 1000
        self.id, self.notification, self.method, self.params, self.meta, window = None, False, None, {}, {}, 32
        try:
            [frame] = body
            call = json.loads(frame.decode())
            params, meta = call.get("params", {}), call.get("meta", {})
            if call["jsonrpc"] == "2.0" and isinstance(call["method"], str) and isinstance(params, (dict, list)):
                window = int(meta.get("window", 32))
                self.id, self.notification, self.method = call.get("id"), "id" not in call, call["method"]
                self.params, self.meta = params, meta
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            pass  # no JSON-RPC: there is no method, which the worker says
        self.room, self.credit = threading.Condition(), window  # how many values of a stream may be sent

    def left(self):
        """Returns for how many seconds somebody still waits for the result."""
        return max(0, self.deadline - time.monotonic())

    def told(self, notice):
        if notice.method == "rpc.cancel":
            self.cancel()
        elif notice.method == "rpc.credit":
            with self.room:
                self.credit += notice.params["n"]
                self.room.notify()

    def cancel(self):
        self.cancelled.set()
        with self.room:
            self.room.notify()  # wakes a stream that waits for credit

    def body(self, **outcome):
        return b"" if self.notification else encode(self.id, **outcome)

    def run(self, methods, part):
        """Runs the handler, and returns the body of the FINAL; part is called with those of PARTIALs. It raises nothing."""
        try:
            try:
                return self.body(result=self.outcome(methods, part))
            except Error as e:
                return self.body(error=e.wire())
        except Exception:  # the caller learns no more than that
            logging.exception("%s failed", self.method)
            return self.body(error={"code": -32603, "message": "the handler failed"})

    def outcome(self, methods, part):
        if self.method is None:
            raise Error(-32600, "no JSON-RPC request")
        if self.method not in methods:
            raise Error(-32601, "no such method")
        result = methods[self.method](self, self.params)
        if not inspect.isgenerator(result):
            return result
        for value in result:
            with self.room:
                self.room.wait_for(lambda: self.credit > 0 or self.cancelled.is_set())
                self.credit -= 1
            if self.cancelled.is_set():
                raise Error(-32005, "cancelled")
            part(self.body(result=value))
