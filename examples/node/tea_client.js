// Calls the tea service: node tea_client.js tcp://127.0.0.1:5555
"use strict";
const { Client } = require("./mesh_client");

async function main() {
  const client = new Client(process.argv.slice(2));
  console.log((await client.call("tea.brew", { kind: "black" }, { timeout: 5000 })).text);
  for await (const { cup } of client.stream("tea.pour", { cups: 3 }, { timeout: 5000 })) console.log("cup", cup);
  await client.call("tea.brew", { kind: "coffee" }, { timeout: 5000 }).catch((e) => console.log(e.code, e.message));
  await client.close();
}

main();
