// A client that a test works: client.js KIND BROKER. Commands come as lines of JSON, and so do outcomes leave.
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const readline = require("node:readline");
const { Client01, Client02 } = require("./plain");
const { Client } = require(path.join(process.env.EXAMPLES, "mesh_client.js"));
const { MeshError } = require(path.join(process.env.EXAMPLES, "mesh_wire.js"));

const [kind, broker] = process.argv.slice(2);
const client = { req01: () => new Client01(broker), dealer02: () => new Client02(broker), mesh: () => new Client(broker.split(" ")) }[kind]();
const tell = (members) => process.stdout.write(JSON.stringify(members) + "\n");

// plain does what a client of JSON-RPC does, with a client that knows frames alone.
async function plain({ n, do: what, service, body, method, params, timeout_ms }) {
  if (what === "request") {
    const reply = await client.ask(service, body.map((frame) => Buffer.from(frame, "hex")));
    return { body: reply.map((frame) => frame.toString("hex")) };
  }
  const call = { jsonrpc: "2.0", id: n, method, meta: { timeout_ms }, params };
  const frames = await client.ask(method.slice(0, method.lastIndexOf(".")), [JSON.stringify(call)]);
  const replies = frames.map((frame) => JSON.parse(frame));
  for (const reply of replies) assert.equal(reply.id, n);
  const { error, result } = replies.pop();
  if (error) return { error };
  return what === "stream" ? { values: replies.map((reply) => reply.result) } : { result };
}

async function mesh({ do: what, method, params, timeout_ms: timeout, key, attempts, window, stop, cancel_ms }) {
  try {
    if (what === "call") {
      const signal = cancel_ms === undefined ? undefined : AbortSignal.timeout(cancel_ms);
      return { result: await client.call(method, params, { timeout, key, signal, attempts }) };
    }
    const values = [];
    for await (const value of client.stream(method, params, { timeout, window })) {
      if (values.push(value) === stop) break;
    }
    return { values };
  } catch (e) {
    if (!(e instanceof MeshError)) throw e;
    return { error: { ...e.wire(), handed_over: e.handedOver } };
  }
}

async function main() {
  tell({ event: "ready" });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const c = JSON.parse(line);
    const done = (kind === "mesh" ? mesh(c) : plain(c)).then(
      (outcome) => tell({ n: c.n, ...outcome }),
      (e) => tell({ n: c.n, broken: String(e.stack) }),
    );
    if (kind !== "mesh") await done;
  }
  if (kind === "mesh") await client.close();
  process.exit(0);
}

main();
