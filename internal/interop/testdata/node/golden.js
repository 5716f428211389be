// Reads and writes the golden messages: golden.js DIRECTORY. The tables are those of docs/protocol.md.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { Request } = require(path.join(process.env.EXAMPLES, "mesh_wire.js"));

// Each row: version, header, command, kind, who receives it. Clients of 0.1 have no command byte.
const TABLE = [
  ["0.1", "MDPC01", null, "client request", ["broker"]],
  ["0.1", "MDPC01", null, "client final", ["client", "worker"]], // a worker is also a client
  ["0.1", "MDPW01", 1, "ready", ["broker"]],
  ["0.1", "MDPW01", 2, "worker request", ["worker"]],
  ["0.1", "MDPW01", 3, "worker final", ["broker"]],
  ["0.1", "MDPW01", 4, "heartbeat", ["broker", "worker"]],
  ["0.1", "MDPW01", 5, "disconnect", ["broker", "worker"]],
  ["0.2", "MDPC02", 1, "client request", ["broker"]],
  ["0.2", "MDPC02", 2, "client partial", ["client", "worker"]],
  ["0.2", "MDPC02", 3, "client final", ["client", "worker"]],
  ["0.2", "MDPW02", 1, "ready", ["broker"]],
  ["0.2", "MDPW02", 2, "worker request", ["worker"]],
  ["0.2", "MDPW02", 3, "worker partial", ["broker"]],
  ["0.2", "MDPW02", 4, "worker final", ["broker"]],
  ["0.2", "MDPW02", 5, "heartbeat", ["broker", "worker"]],
  ["0.2", "MDPW02", 6, "disconnect", ["broker", "worker"]],
];
const is = (frame, text) => frame !== undefined && frame.equals(Buffer.from(text));
const version = (frame) => TABLE.find(([, header]) => is(frame, header))?.[0];

function parse(to, frames) {
  const want = (ok) => { if (!ok) throw new RangeError("invalid"); };
  let rest = [...frames];
  want(rest.length > 0);
  let envelope = [];
  if (version(rest[0]) !== "0.2") {
    const empty = rest.findIndex((frame) => frame.length === 0);
    want(empty >= 0 && empty <= 8 && version(rest[empty + 1]) === "0.1");
    envelope = rest.slice(0, empty);
    rest = rest.slice(empty + 1);
  }
  const header = rest.shift();
  const byte = is(header, "MDPC01") ? null : rest.shift();
  const row = TABLE.find(([, h, command, , receivers]) => is(header, h) && receivers.includes(to)
    && (command === null || (byte?.length === 1 && byte[0] === command)));
  want(row);
  const kind = row[3], found = { version: row[0], kind };
  want(envelope.length === 0 || kind === "client request");
  if (envelope.length > 0) found.envelope = envelope;
  if (kind === "ready" || kind.startsWith("client")) {
    want(rest.length > 0);
    found.service = rest.shift();
  }
  if (kind.startsWith("worker")) {
    want(rest.length > 1 && rest[0].length > 0 && rest[1].length === 0);
    [found.address] = rest.splice(0, 2);
  }
  if (/^(client|worker)/.test(kind)) {
    want(rest.length > 0);
    found.body = rest;
  } else {
    want(rest.length === 0);
  }
  return found;
}

function build(to, { version: v, kind, envelope = [], service, address, body = [] }) {
  const [, header, command] = TABLE.find((row) => row[0] === v && row[3] === kind && row[4].includes(to));
  return [
    ...(v === "0.1" ? [...envelope, Buffer.alloc(0)] : []), Buffer.from(header), ...(command === null ? [] : [Buffer.of(command)]),
    ...(service ? [service] : []), ...(address ? [address, Buffer.alloc(0)] : []), ...body,
  ];
}

const frame = (s) => (s.startsWith("0x") ? Buffer.from(s.slice(2), "hex") : Buffer.from(s));
const load = (name) => JSON.parse(fs.readFileSync(path.join(process.argv[2], name), "utf8"));

for (const { name, to, frames: texts, command, error } of load("frames.json")) {
  const frames = texts.map(frame);
  if (error) {
    assert.throws(() => parse(to, frames), RangeError, name);
    continue;
  }
  const want = { ...command };
  for (const member of ["service", "address"]) if (member in want) want[member] = frame(want[member]);
  for (const member of ["envelope", "body"]) if (member in want) want[member] = want[member].map(frame);
  const got = parse(to, frames);
  assert.deepEqual(got, want, name);
  assert.deepEqual(build(to, got), frames, name);
}

function goodName(name) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(name);
    return name.length <= 255 && /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(text);
  } catch {
    return false;
  }
}

for (const { name, service, valid, reserved } of load("services.json")) {
  assert.equal(goodName(frame(service)), valid, name);
  assert.equal(frame(service).subarray(0, 4).equals(Buffer.from("mmi.")), reserved, name);
}

for (const { name, frame: text, form, token, remaining_ms: remaining, attempt, service, caller } of load("addresses.json")) {
  const address = frame(text);
  if (form === "plain") assert.equal(address.toString(), token, name);
  if (form !== "registered") continue;
  const request = new Request(address, [Buffer.alloc(0)]);
  assert.deepEqual([request.token, request.attempt, request.caller, address.readUInt16BE(14)], [token, attempt, caller, service], name);
  const left = request.left();
  assert.ok(remaining === null ? left === Infinity : left <= remaining && left > remaining - 1000, name);
}
console.log("ok");
