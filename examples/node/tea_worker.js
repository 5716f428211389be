// A service to begin with: node tea_worker.js tcp://127.0.0.1:5555
"use strict";
const { setTimeout: sleep } = require("node:timers/promises");
const { MeshError } = require("./mesh_wire");
const { Worker } = require("./mesh_worker");

async function brew(request, { kind, minutes = 0 }) {
  if (!["black", "green"].includes(kind)) {
    const faults = [{ path: "/kind", message: "is neither black nor green" }];
    throw new MeshError(-32602, "/kind is neither black nor green", { faults });
  }
  await sleep(minutes * 1000, undefined, { signal: request.signal }); // it is a fast kettle
  return { text: `a cup of ${kind} tea` };
}

async function* pour(request, { cups }) {
  for (let cup = 1; cup <= cups; cup++) yield { cup };
}

const worker = new Worker(process.argv.slice(2), "tea", { brew, pour }, { idempotent: ["brew"], instance: "node-tea" });
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => worker.stop());
worker.run();
