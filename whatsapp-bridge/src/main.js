#!/usr/bin/env node
// Runs the bridge: settings by the environment, one JSON line once it listens.

import pino from "pino";
import { Line } from "./line.js";
import { Messages } from "./messages.js";
import { Bridge } from "./server.js";
import { Store } from "./store.js";

const token = process.env.WHATSAPP_BRIDGE_TOKEN ?? "";
const address = new URL(process.env.WHATSAPP_BRIDGE_URL ?? "http://127.0.0.1:8093");
const database = process.env.BRIDGE_DB_URL ?? "sqlite:///whatsapp-bridge.sqlite3";
const web = process.env.WHATSAPP_WEB_URL; // another WhatsApp than the real one, for tests
const level = process.env.LOG_LEVEL?.toLowerCase() ?? "warn";

/** @param {string} says @returns {never} */
function leave(says) {
  process.stderr.write(`whatsapp-bridge: ${says}\n`);
  process.exit(2);
}

if (token.length < 16) leave("WHATSAPP_BRIDGE_TOKEN is not set, or has less than 16 characters");
if (!["127.0.0.1", "localhost", "[::1]"].includes(address.hostname))
  leave(`refusing to listen on ${address.hostname}: only this machine may ask the bridge`);

const store = await Store.open(database).catch((error) => leave(`${database.split("@").at(-1)}: ${error.message}`));
const messages = new Messages(store);
const logger = pino({ level }, pino.destination(2));
const line = new Line(store, messages, { url: web, logger });
const bridge = new Bridge(line, messages, { token });
const port = await bridge
  .listen(Number(address.port || 80), address.hostname.replace(/[[\]]/g, ""))
  .catch((error) => leave(`cannot listen on ${address.host}: ${error.code}`));
await line.open();
process.stdout.write(`${JSON.stringify({ url: `http://${address.hostname}:${port}` })}\n`);

let stopping = false;
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.on(signal, async () => {
    if (stopping) process.exit(1);
    stopping = true;
    await line.stop();
    await bridge.close();
    await store.close();
    process.exit(0);
  });
}
