// A client of a mesh, to copy: calls with a deadline, errors as exceptions, streams. docs/protocol.md explains the steps.
"use strict";
const { setTimeout: sleep } = require("node:timers/promises");
const zmq = require("zeromq");
const { CLIENT, ASK, LAST, ...wire } = require("./mesh_wire");

const EXPIRED = -32003, CANCELLED = -32005, BROKER_LOST = -32014;
const NO_WORKER = -32001, OVERLOADED = -32002, DRAINING = -32007;
const AGAIN = [NO_WORKER, OVERLOADED, DRAINING]; // what may be otherwise in a moment

class Client {
  constructor(brokers) {
    // waiting has what takes the replies of each request that was sent, by id; outbox is what waits for a connection.
    Object.assign(this, { brokers, ids: 0, waiting: new Map(), outbox: [], stopping: new AbortController() });
    this.running = this.run();
  }

  // call returns the result or throws a MeshError. What is sent twice with one key runs once.
  async call(method, params = {}, { timeout = 30_000, key, signal, attempts = 4 } = {}) {
    const deadline = performance.now() + timeout;
    for (let ceiling = 20; ; ceiling = Math.min(2 * ceiling, 2000)) {
      try {
        for await (const { last, result } of this.exchange(method, params, deadline, { key }, signal)) if (last) return result;
      } catch (e) {
        const wait = Math.max(Math.random() * ceiling, e.retryAfter ?? 0);
        // Only what surely no worker was given is sent again.
        if (e.handedOver !== false || !AGAIN.includes(e.code) || --attempts < 1 || performance.now() + wait >= deadline) throw e;
        await sleep(wait);
      }
    }
  }

  // stream yields the values of a stream. Whoever stops reading cancels it.
  async *stream(method, params = {}, { timeout = 30_000, window = 32, signal } = {}) {
    for await (const { last, result } of this.exchange(method, params, performance.now() + timeout, { window }, signal)) {
      if (!last) yield result;
    }
  }

  async close() {
    this.stopping.abort();
    this.link?.close();
    await this.running;
  }

  // exchange sends a request once, and yields the result of each of its replies, with whether it is the last.
  async *exchange(method, params, deadline, meta, signal) {
    const id = ++this.ids, replies = [], half = Math.max(1, meta.window >> 1);
    let wake, read = 0, ended = false;
    const put = (reply) => { replies.push(reply); wake?.(); };
    const left = Math.max(0, deadline - performance.now());
    // The broker says so when the time is over; it is waited for a little longer than that.
    const timer = setTimeout(() => put({ error: { code: EXPIRED, message: "no reply in time" }, local: true }), left + 500);
    const cancel = () => {
      if (this.waiting.has(id)) this.notify("mmi.cancel", { id });
      else put({ error: { code: CANCELLED, message: "cancelled" }, local: true }); // it was never sent
    };
    signal?.addEventListener("abort", cancel);
    const body = wire.encode(id, { method, meta: { ...meta, timeout_ms: Math.trunc(left) }, params });
    this.post({ service: method.slice(0, method.lastIndexOf(".")), body, id, put });
    try {
      while (!ended) {
        if (replies.length === 0) await new Promise((resolve) => (wake = resolve));
        const { last, result, error, local } = replies.shift();
        ended = last || (error && !local);
        if (error) throw wire.MeshError.read(error);
        yield { last, result };
        if (++read === half && meta.window) {
          this.notify("mmi.credit", { id, n: read });
          read = 0;
        }
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      if (!ended) cancel();
      this.waiting.delete(id);
      this.outbox = this.outbox.filter((request) => request.id !== id);
    }
  }

  notify(method, params) {
    this.post({ service: method, body: JSON.stringify({ jsonrpc: "2.0", method, params }) });
  }

  post(request) {
    this.outbox.push(request);
    this.flush();
  }

  // flush sends what waits, once it is known that the broker is one of mesh and takes something new.
  flush() {
    while (this.known && !this.leaving && this.outbox.length > 0) {
      const { service, body, id, put } = this.outbox.shift();
      if (put) this.waiting.set(id, put);
      this.send(service, body);
    }
  }

  send(service, body) {
    const { link } = this;
    this.said = performance.now();
    // One at a time. The loop of run sees the end of a link.
    this.sent = this.sent.then(() => link.send(wire.bytes([CLIENT, ASK, service, body]))).catch(() => {});
  }

  ping() {
    this.send("mmi.ping", wire.encode("ping", { method: "mmi.ping" }));
    this.pinged = this.said;
  }

  // run serves one connection after the other.
  async run() {
    const { signal } = this.stopping;
    this.ceiling = 100;
    for (let i = 0; !signal.aborted; i++) {
      Object.assign(this, { known: false, leaving: false, interval: 2500, liveness: 3, sent: Promise.resolve() });
      this.link = new zmq.Dealer({ linger: 0 });
      const { link } = this;
      link.events.on("disconnect", () => { // ZeroMQ would connect again, and say nothing
        this.leaving = true;
        setTimeout(() => link.close(), 50); // what has come is read before
      });
      link.connect(this.brokers[i % this.brokers.length]);
      this.heard = performance.now();
      this.ping();
      this.watch();
      try {
        for await (const [, command, service, ...body] of this.link) this.take(command[0], service.toString(), body);
      } catch (e) {
        console.error("the connection ended:", e);
      }
      clearTimeout(this.timer);
      this.link.close();
      this.known = false;
      for (const put of this.waiting.values()) put({ error: { code: BROKER_LOST, message: "the broker is gone" }, last: true });
      this.waiting.clear();
      await sleep(Math.random() * this.ceiling, undefined, { signal }).catch(() => {});
      this.ceiling = Math.min(2 * this.ceiling, 30_000);
    }
  }

  // watch asks the broker for a sign of life, and gives up one that is silent for too long.
  watch() {
    clearTimeout(this.timer);
    const now = performance.now(), end = this.heard + this.interval * this.liveness;
    if (now >= end) return this.link.close();
    const due = () => Math.max(this.pinged, Math.min(this.heard, this.said)) + this.interval;
    if (now >= due()) this.ping();
    this.timer = setTimeout(() => this.watch(), Math.min(due(), end) - now);
  }

  take(command, service, body) {
    this.heard = performance.now();
    let reply;
    try {
      reply = Object(JSON.parse(body[0]));
    } catch {
      return; // the empty answer to a notification, or nothing that anybody waits for
    }
    if (service === "mmi.ping") { // a worker may write any id
      const { heartbeat_ms: interval, liveness, draining } = reply.result;
      Object.assign(this, { known: true, leaving: this.leaving || draining === true, interval, liveness });
      if (!this.leaving) this.ceiling = 100;
      this.watch();
    } else if (this.waiting.has(reply.id)) {
      this.leaving ||= reply.error?.code === DRAINING;
      this.waiting.get(reply.id)({ ...reply, last: command === LAST });
      if (command === LAST) this.waiting.delete(reply.id);
    }
    this.flush();
    if (this.leaving && this.waiting.size === 0) this.link.close();
  }
}

module.exports = { Client };
