// Clients and workers of plain Majordomo, written from RFC 7 (MDP/0.1) and RFC 18 (MDP/0.2).
"use strict";
const assert = require("node:assert/strict");
const zmq = require("zeromq");

// Client01 speaks MDP/0.1 over a REQ socket.
class Client01 {
  constructor(broker, socket = new zmq.Request({ linger: 0 })) {
    this.socket = socket;
    this.socket.connect(broker);
  }

  // ask returns the frames of the reply, those of partial ones first.
  async ask(service, body) {
    await this.send(service, body);
    for (let parts = []; ; ) {
      const { last, frames } = this.read(await this.socket.receive(), service);
      parts = parts.concat(frames);
      if (last) return parts;
    }
  }

  send(service, body) {
    return this.socket.send(["MDPC01", service, ...body]);
  }

  read([header, name, ...frames], service) {
    assert.equal(header.toString(), "MDPC01");
    assert.equal(name.toString(), service);
    assert.ok(frames.length > 0);
    return { last: true, frames };
  }
}

class Client02 extends Client01 {
  constructor(broker) {
    super(broker, new zmq.Dealer({ linger: 0 }));
  }

  send(service, body) {
    return this.socket.send(["MDPC02", Buffer.of(1), service, ...body]);
  }

  read([header, command, name, ...frames], service) {
    assert.equal(header.toString(), "MDPC02");
    assert.equal(name.toString(), service);
    assert.ok((command[0] === 2 || command[0] === 3) && frames.length > 0);
    return { last: command[0] === 3, frames };
  }
}

const READY = 1, REQUEST = 2, PARTIAL = 3, FINAL = 4, HEARTBEAT = 5, DISCONNECT = 6;

// Worker02 speaks MDP/0.2 and serves one request at a time. handle(body, part) returns the body of the reply; part sends one before.
class Worker02 {
  constructor(broker, service, handle, interval, told) {
    Object.assign(this, { broker, service, handle, interval, told, stopped: false });
  }

  async run() {
    while (!this.stopped) {
      this.socket = new zmq.Dealer({ linger: 1000 });
      this.socket.connect(this.broker);
      this.sent = Promise.resolve();
      this.heard = performance.now();
      this.send(READY, this.service);
      this.told("connected");
      const beat = setInterval(() => this.beat(), this.interval);
      for await (const [header, command, address, empty, ...body] of this.socket) {
        assert.equal(header.toString(), "MDPW02");
        this.heard = performance.now();
        if (command[0] === DISCONNECT) break;
        if (command[0] !== REQUEST) continue;
        assert.equal(empty.length, 0);
        this.busy = true;
        const reply = await this.handle(body, (part) => this.send(PARTIAL, address, "", ...part));
        this.busy = false;
        this.heard = performance.now();
        this.send(FINAL, address, "", ...reply);
        if (this.stopped) await this.leave();
      }
      clearInterval(beat);
      this.socket.close();
    }
    this.told("stopped");
  }

  send(command, ...frames) {
    const { socket } = this;
    this.sent = this.sent.then(() => socket.send(["MDPW02", Buffer.of(command), ...frames])).catch(() => {});
  }

  beat() {
    if (!this.busy && performance.now() > this.heard + 3 * this.interval) this.socket.close();
    else this.send(HEARTBEAT);
  }

  // stop ends the worker, behind the reply to what it works on.
  stop() {
    this.stopped = true;
    if (!this.busy) this.leave();
  }

  async leave() {
    this.send(DISCONNECT);
    await this.sent;
    this.socket.close();
  }
}

module.exports = { Client01, Client02, Worker02 };
