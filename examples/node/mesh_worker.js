// A worker of a mesh, to copy: it registers, and serves many requests at once. docs/protocol.md explains the steps.
"use strict";
const os = require("node:os");
const { setTimeout: sleep } = require("node:timers/promises");
const zmq = require("zeromq");
const { CLIENT, WORKER, ASK, READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT, ...wire } = require("./mesh_wire");

// Worker serves the methods of one service: name -> handler(request, params), which may be async, or an async generator whose
// values are a stream.
class Worker {
  constructor(brokers, service, methods, { idempotent = [], capacity = 8, instance = "" } = {}) {
    Object.assign(this, { brokers, service, capacity, running: 0, stopping: new AbortController() });
    this.methods = new Map(Object.entries(methods).map(([name, handler]) => [`${service}.${name}`, handler]));
    const services = [{ name: service, methods: Object.keys(methods).map((name) => ({ name, idempotent: idempotent.includes(name) })) }];
    this.registration = { instance, host: os.hostname(), pid: process.pid, cancel: true, credit: true, services };
  }

  // stop has run return once everything that runs was answered.
  stop() {
    this.stopping.abort();
    if (this.registered) this.register(0); // nothing new comes behind the answer
    else this.link?.close();
  }

  // run serves brokers in turn until stop.
  async run() {
    for (let i = 0, ceiling = 100, { signal } = this.stopping; !signal.aborted; i++) {
      Object.assign(this, { requests: new Map(), ended: [], registered: false, leaving: false, interval: 2500, liveness: 3 });
      Object.assign(this, { sent: Promise.resolve(), link: new zmq.Dealer({ linger: 1000 }) }); // always a new one: brokers know us by it
      this.link.connect(this.brokers[i % this.brokers.length]);
      await this.serve().catch((e) => console.error("the connection ended:", e));
      clearTimeout(this.timer);
      this.link.close();
      const lost = this.requests;
      this.requests = new Map();
      for (const request of lost.values()) request.cancel();
      ceiling = this.registered ? 100 : Math.min(2 * ceiling, 30_000);
      await sleep(Math.random() * ceiling, undefined, { signal }).catch(() => {});
    }
  }

  // serve serves a connection until one side ends it.
  async serve() {
    this.register(this.capacity);
    this.send(WORKER, READY, this.service);
    this.heard = performance.now();
    this.watch();
    for await (const [header, command, ...rest] of this.link) {
      this.heard = performance.now();
      if (header.toString() === CLIENT) {
        const { id, error, result } = JSON.parse(rest[1]); // the answer to a registration
        if (error || result.refused) return console.error("registration refused:", error ?? result.refused);
        Object.assign(this, { registered: true, interval: result.heartbeat_ms, liveness: result.liveness, leaving: id === 0 });
        this.watch();
        this.leave();
      } else if (command[0] === REQUEST) {
        this.take(new wire.Request(rest[0], rest.slice(2)));
      } else if (command[0] === DISCONNECT) {
        return;
      }
    }
  }

  // watch sends a heartbeat when nothing was sent for an interval, and gives up a broker that is silent for too long.
  watch() {
    clearTimeout(this.timer);
    const now = performance.now(), end = this.heard + this.interval * this.liveness;
    if (now >= end) return this.link.close();
    if (now >= this.said + this.interval) this.send(WORKER, HEARTBEAT);
    this.timer = setTimeout(() => this.watch(), Math.min(this.said + this.interval, end) - now);
  }

  register(capacity) {
    const params = { ...this.registration, capacity };
    this.send(CLIENT, ASK, "mmi.register", wire.encode(capacity, { method: "mmi.register", params }));
  }

  send(...frames) {
    const { link } = this;
    this.said = performance.now();
    this.sent = this.sent.then(() => link.send(wire.bytes(frames))).catch(() => {}); // one at a time; serve sees the end of a link
  }

  // leave says goodbye where the worker stops, and everything that it was handed was answered.
  async leave() {
    if (!this.leaving || this.requests.size > 0) return;
    this.send(WORKER, DISCONNECT);
    await this.sent;
    this.link.close();
  }

  async take(request) {
    const known = this.requests.get(request.token);
    if (known) return known.told(request); // the broker has word of a request that runs
    if (["rpc.cancel", "rpc.credit"].includes(request.method) && this.ended.includes(request.token)) return; // or of one that has ended
    if (this.running >= this.capacity) {
      const error = { code: -32012, message: "no room" }; // the broker puts it back, and waits for a FINAL or a registration
      this.ended.push(request.token);
      this.refused = true;
      return this.send(WORKER, FINAL, request.address, "", wire.encode(request.id ?? null, { error }));
    }
    this.requests.set(request.token, request);
    this.running++;
    const ours = () => this.requests.get(request.token) === request; // else it is of a connection that has ended
    const reply = (command, body) => ours() && this.send(WORKER, command, request.address, "", body);
    const body = await request.run(this.methods, (part) => reply(PARTIAL, part)).catch((e) => request.failed(e));
    this.running--;
    reply(FINAL, body);
    // Word of it may be on its way.
    if (ours() && this.requests.delete(request.token) && this.ended.push(request.token) > 1000) this.ended.shift();
    if (this.refused && !this.stopping.signal.aborted) this.register(this.capacity); // there is room now
    this.refused = false;
    this.leave();
  }
}

module.exports = { Worker };
