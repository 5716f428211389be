// A worker that a test works: worker.js KIND BROKER SERVICE INTERVAL_MS CAPACITY. It tells what happens in lines of JSON; a line of
// input lets the requests go that are held.
"use strict";
const path = require("node:path");
const readline = require("node:readline");
const { setTimeout: sleeping } = require("node:timers/promises");
const { Worker02 } = require("./plain");
const { MeshError } = require(path.join(process.env.EXAMPLES, "mesh_wire.js"));
const { Worker } = require(path.join(process.env.EXAMPLES, "mesh_worker.js"));

const [kind, broker, service, interval, capacity] = process.argv.slice(2);
const tell = (event, members) => process.stdout.write(JSON.stringify({ event, ...members }) + "\n");
let letGo;
const free = new Promise((resolve) => (letGo = resolve));
const parties = new Map();

const methods = {
  echo: (_, params) => params,
  fail: (_, { code, message, data }) => { throw new MeshError(code, message, data); },
  crash: () => { throw new Error("nobody should see this"); },

  // odd ends in a way that JSON has no words for.
  odd(_, { how }) {
    if (how === "result") return NaN;
    throw new MeshError(4711, "odd", 1n);
  },

  // hold waits until it is let go, or cancelled.
  async hold(request, { name }) {
    tell("held", { name, attempt: request?.attempt });
    const cancelled = new Promise((_, reject) => {
      request?.signal.addEventListener("abort", () => { tell("cancelled", { name }); reject(request.signal.reason); });
    });
    await Promise.race([free, cancelled]);
    return { by: service };
  },

  // meet waits until as many requests are here at once.
  async meet(_, { n }) {
    if (!parties.has(n)) {
      let open;
      const gate = new Promise((resolve) => (open = resolve));
      parties.set(n, { here: 0, gate, open });
    }
    const party = parties.get(n);
    if (++party.here === n) party.open();
    await party.gate;
    return { met: n };
  },

  async sleep(_, { ms }) {
    await sleeping(ms);
    return {};
  },

  about: ({ deadline, attempt, caller, meta, left }) => ({
    left_ms: deadline === Infinity ? null : Math.trunc(left.call({ deadline })), attempt, caller, meta,
  }),

  async *count(_, { n: last }) {
    let n = 0;
    try {
      while (n < last) yield { n: ++n };
    } finally {
      tell("counted", { n });
    }
  },
};

// plain serves JSON-RPC, and sends anything else back as it came; of "stream", … each frame by itself.
async function plain(body, part) {
  let call;
  try {
    if (body.length === 1) call = JSON.parse(body[0]);
  } catch {
    // It is opaque.
  }
  if (typeof call?.method !== "string") {
    if (body[0].toString() !== "stream") return body;
    for (const frame of body.slice(1, -1)) part([frame]);
    return body.slice(-1);
  }
  const reply = (outcome) => [call.id === undefined ? "" : JSON.stringify({ jsonrpc: "2.0", id: call.id, ...outcome })];
  try {
    let result = methods[call.method.slice(call.method.lastIndexOf(".") + 1)](undefined, call.params ?? {});
    if (result?.[Symbol.asyncIterator]) {
      for await (const value of result) part(reply({ result: value }));
      result = null;
    }
    return reply({ result: await result });
  } catch (e) {
    return reply({ error: e instanceof MeshError ? e.wire() : { code: -32603, message: "it failed" } });
  }
}

readline.createInterface({ input: process.stdin }).on("line", () => letGo());
const idempotent = service.startsWith("once") ? [] : ["echo", "hold"];
const worker = kind === "mesh"
  ? new Worker([broker], service, methods, { idempotent, capacity: Number(capacity), instance: service })
  : new Worker02(broker, service, plain, Number(interval), tell);
process.on("SIGTERM", () => worker.stop());
if (kind === "mesh") tell("connected");
worker.run().then(() => {
  if (kind === "mesh") tell("stopped");
  process.stdin.destroy();
});
