// What worker and client share: the frames of MDP/0.2, errors, and a request as a worker sees it.
"use strict";

const CLIENT = "MDPC02", WORKER = "MDPW02";
const [READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT] = [1, 2, 3, 4, 5, 6]; // in a worker's messages
const ASK = 1, LAST = 3; // in a client's

// MeshError is an error as it crosses the wire: a handler throws it, and a call. Own codes lie outside of -32768 to -32000.
class MeshError extends Error {
  constructor(code, message, data) {
    super(message);
    Object.assign(this, { name: "MeshError", code, data });
  }

  // read makes an error of what a reply has as one, which may be anything.
  static read({ code, message, data }) {
    const right = Number.isInteger(code) && typeof message === "string";
    return right ? new MeshError(code, message, data) : new MeshError(-32603, "the reply's error can't be read");
  }

  wire() {
    return { code: this.code, message: this.message, data: this.data };
  }

  saidByBroker() {
    return (this.code >= -32015 && this.code <= -32000 && this.data) || {};
  }

  // handedOver says whether a worker may have begun the request.
  get handedOver() {
    return this.saidByBroker().handed_over !== false;
  }

  get retryAfter() {
    return this.saidByBroker().retry_after_ms ?? 0;
  }
}

// bytes makes commands, which are numbers here, frames.
function bytes(frames) {
  return frames.map((frame) => (typeof frame === "number" ? Buffer.of(frame) : frame));
}

// encode writes a JSON-RPC message; a number that is no JSON, such as NaN, throws rather than becoming null.
function encode(id, members) {
  return JSON.stringify({ jsonrpc: "2.0", id, ...members }, (_, value) => {
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError("a number that is no JSON");
    return value;
  });
}

// Request is what a handler works on. One that takes long should give its signal on, or look at signal.aborted now and then:
// it is when nobody waits for the result any more.
class Request {
  constructor(address, body) {
    if (address[0] !== 1) throw new Error("an address of a version that nobody here knows");
    this.address = address;
    this.token = address.toString("hex", 1, 9);
    this.attempt = address[13];
    this.caller = address.toString("utf8", 16);
    const ms = address.readUInt32BE(9);
    this.deadline = ms === 0xffffffff ? Infinity : performance.now() + ms;
    this.controller = new AbortController();
    this.signal = this.controller.signal;
    this.id = null;
    this.params = this.meta = {};
    try {
      if (body.length !== 1) throw new SyntaxError("frames");
      const call = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body[0]));
      const { jsonrpc, id, method, params = {}, meta = {} } = call;
      const right = jsonrpc === "2.0" && typeof method === "string" && typeof params === "object" && typeof meta === "object";
      if (!right || !Number.isInteger(meta.window ?? 32)) throw call;
      Object.assign(this, { id, method, params: params ?? {}, meta }); // the id of a notification is undefined
    } catch {
      // No JSON-RPC: there is no method, which the worker says.
    }
    this.credit = this.meta.window ?? 32; // how many values of a stream may be sent
    this.wake = () => {};
  }

  // left returns for how many milliseconds somebody still waits for the result.
  left() {
    return Math.max(0, this.deadline - performance.now());
  }

  // told takes word of the request: a cancel, or credit.
  told(notice) {
    if (notice.method === "rpc.cancel") this.cancel();
    if (notice.method === "rpc.credit") this.credit += notice.params.n;
    this.wake();
  }

  cancel() {
    this.controller.abort(new MeshError(-32005, "cancelled"));
    this.wake();
  }

  failed(e) {
    try {
      if (e instanceof MeshError) return this.body({ error: e.wire() });
    } catch {
      // Its data is no JSON.
    }
    console.error(`${this.method} failed:`, e);
    return this.body({ error: { code: -32603, message: "the handler failed" } }); // the caller learns no more than that
  }

  body(outcome) {
    return this.id === undefined ? "" : encode(this.id, outcome);
  }

  // run calls the handler, and returns the body of the FINAL; part is called with those of PARTIALs.
  async run(methods, part) {
    if (this.method === undefined) throw new MeshError(-32600, "no JSON-RPC request");
    const handler = methods.get(this.method);
    if (!handler) throw new MeshError(-32601, "no such method");
    let result = handler(this, this.params);
    if (result?.[Symbol.asyncIterator]) {
      for await (const value of result) {
        while (this.credit <= 0 && !this.signal.aborted) await new Promise((resolve) => (this.wake = resolve));
        this.signal.throwIfAborted();
        this.credit--;
        part(this.body({ result: value }));
      }
      result = null;
    }
    return this.body({ result: (await result) ?? null });
  }
}

module.exports = { CLIENT, WORKER, READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT, ASK, LAST, MeshError, Request, bytes, encode };
