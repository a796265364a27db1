// Pairing and every reason a connection is closed for, with a socket of our own.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import { credentials } from "../src/credentials.js";
import { Line } from "../src/line.js";
import { Messages, jidOf, waIdOf } from "../src/messages.js";
import { Store } from "../src/store.js";

const quiet = /** @type {any} */ ({ info() {}, error() {}, warn() {}, debug() {}, trace() {}, child: () => quiet, level: "silent" });
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "bridge-"));
let count = 0;
/** @type {Store} */
let store;
/** @type {Messages} */
let messages;
/** @type {any[]} */
let sockets;
/** @type {Line} */
let line;

after(() => fs.rmSync(folder, { recursive: true, force: true }));

beforeEach(async () => {
  count += 1;
  store = await Store.open(`sqlite:///${folder}/${count}.sqlite3`);
  messages = new Messages(store);
  sockets = [];
  line = new Line(store, messages, {
    logger: quiet,
    waitMs: 1,
    makeSocket: /** @type {any} */ (
      (/** @type {any} */ options) => {
        const socket = { ev: new EventEmitter(), ws: new EventEmitter(), options, user: { id: "15550100100:1@s.whatsapp.net" }, end() {}, async logout() {} };
        sockets.push(socket);
        return socket;
      }
    ),
  });
  await line.open();
});

/** @param {number} [statusCode] */
const closed = (statusCode) => ({ connection: "close", lastDisconnect: { error: { output: { statusCode } } } });

/** @param {() => boolean | Promise<boolean>} holds */
async function until(holds) {
  for (let tries = 0; tries < 500; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail("it never was so");
}

test("a code is shown until a telephone has scanned it", async () => {
  sockets[0].ev.emit("connection.update", { qr: "2@abc" });
  await until(() => line.state === "needs_qr");
  assert.equal(line.qr, "2@abc");
  sockets[0].ev.emit("connection.update", { connection: "open" });
  await until(() => line.state === "ready");
  assert.equal(line.qr, null);
  assert.equal(line.account, "+15550100100");
});

for (const [code, opensAgain, state] of /** @type {[number | undefined, boolean, string][]} */ ([
  [515, true, "connecting"],
  [408, true, "connecting"],
  [428, true, "connecting"],
  [503, true, "connecting"],
  [undefined, true, "connecting"],
  [401, true, "logged_out"],
  [403, false, "banned"],
  [440, false, "replaced"],
])) {
  test(`closed for ${code}: ${state}, and ${opensAgain ? "opened again" : "left alone"}`, async () => {
    sockets[0].ev.emit("connection.update", closed(code));
    await until(() => line.state === state);
    if (opensAgain) await until(() => sockets.length === 2);
    else {
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.equal(sockets.length, 1);
    }
  });
}

test("an account that was unlinked leaves no key behind", async () => {
  const auth = await credentials(store);
  await auth.save();
  await auth.state.keys.set({ session: { one: Buffer.from("secret") } });
  sockets[0].ev.emit("connection.update", closed(401));
  await until(async () => (await store.all("SELECT * FROM bridge_keys")).length === 0);
});

test("credentials and keys come back as they were, in another process' eyes too", async () => {
  const auth = await credentials(store);
  await auth.save();
  await auth.state.keys.set({ session: { one: Buffer.from([1, 2, 3]), two: Buffer.from([4]) } });
  await auth.state.keys.set({ session: { two: null } });
  const again = await credentials(store);
  assert.deepEqual(again.state.creds.noiseKey, auth.state.creds.noiseKey);
  assert.deepEqual(await again.state.keys.get("session", ["one", "two"]), { one: Buffer.from([1, 2, 3]) });
});

test("half a change of keys is none", async () => {
  const auth = await credentials(store);
  const circular = /** @type {any} */ ({});
  circular.self = circular;
  await assert.rejects(auth.state.keys.set({ session: { one: Buffer.from([1]), two: circular } }));
  assert.deepEqual(await auth.state.keys.get("session", ["one"]), {});
});

/** @param {object} [more] */
const wrote = (more = {}) => ({
  key: { remoteJid: "972501234567@s.whatsapp.net", id: "A1", fromMe: false },
  message: { conversation: "hi" },
  messageTimestamp: 1_760_000_000,
  pushName: "Dana",
  ...more,
});

test("what somebody writes is kept until it is acknowledged, and told once", async () => {
  sockets[0].ev.emit("messages.upsert", { type: "notify", messages: [wrote(), wrote()] });
  sockets[0].ev.emit("messages.upsert", { type: "append", messages: [wrote({ key: { remoteJid: "1@s.whatsapp.net", id: "old" } })] });
  await until(async () => (await messages.events(0)).length === 1);
  const [event] = await messages.events(0);
  assert.equal(event.message.text, "hi");
  assert.deepEqual(event.message.sender, { phone: "+972501234567", external_id: "972501234567@s.whatsapp.net" });
  await messages.acknowledge(event.seq);
  assert.deepEqual(await messages.events(0), []);
  await messages.take(/** @type {any} */ (wrote()));
  assert.deepEqual(await messages.events(0), []);
});

test("groups and broadcasts are counted and not taken in", async () => {
  for (const remoteJid of ["1-2@g.us", "status@broadcast", "9@newsletter"])
    await messages.take(/** @type {any} */ (wrote({ key: { remoteJid, id: remoteJid } })));
  assert.equal(messages.skipped, 3);
  assert.deepEqual(await messages.events(0), []);
});

test("somebody without a number is known by their id, and linked once both are told", async () => {
  await messages.take(/** @type {any} */ (wrote({ key: { remoteJid: "77@lid", id: "A2" } })));
  await messages.take(/** @type {any} */ (wrote({ key: { remoteJid: "77@lid", remoteJidAlt: "972501234567@s.whatsapp.net", id: "A3" } })));
  const told = await messages.events(0);
  assert.deepEqual(told.map((event) => event.kind), ["message", "message", "linked"]);
  assert.deepEqual(told[0]?.message.sender, { phone: null, external_id: "77@lid" });
  assert.deepEqual(told[2]?.linked, { external_id: "77@lid", also: { phone: "+972501234567", external_id: "972501234567@s.whatsapp.net" } });
});

test("receipts only go further, in whatever order they come", async () => {
  await messages.begin("m1", "972501234567@s.whatsapp.net", { text: "hi" });
  const id = waIdOf("m1");
  const ev = sockets[0].ev;
  ev.emit("messages.update", [{ key: { id, fromMe: true }, update: { status: 4 } }]);
  ev.emit("messages.update", [{ key: { id, fromMe: true }, update: { status: 2 } }]);
  ev.emit("message-receipt.update", [{ key: { id }, receipt: { receiptTimestamp: 1 } }]);
  await until(async () => (await messages.send("m1"))?.status === "read");
  await line.stop();
  assert.deepEqual((await messages.events(0)).map((event) => event.receipt.status), ["read"]);
});

test("what WhatsApp's server says of a message counts, refusals with their code", async () => {
  await messages.begin("m1", "972501234567@s.whatsapp.net", { text: "hi" });
  await messages.begin("m2", "972501234567@s.whatsapp.net", { text: "hi" });
  sockets[0].ws.emit("CB:ack,class:message", { attrs: { id: waIdOf("m1") } });
  sockets[0].ws.emit("CB:ack,class:message", { attrs: { id: waIdOf("m2"), error: "463" } });
  await until(async () => (await messages.send("m2"))?.status === "failed");
  assert.equal((await messages.send("m1"))?.status, "sent");
  assert.match((await messages.send("m2"))?.says, /463/);
});

test("signs of a ban are said in words", async () => {
  for (let number = 0; number < 20; number += 1)
    await messages.begin(`m${number}`, `9725012345${number + 10}@s.whatsapp.net`, { text: "offer" });
  for (let number = 0; number < 3; number += 1) await messages.became(waIdOf(`m${number}`), "failed", "no");
  const told = await messages.warnings();
  assert.match(told.join("\n"), /20 people who never wrote/);
  assert.match(told.join("\n"), /20 messages were sent within a minute/);
  assert.match(told.join("\n"), /the last 3 messages failed/);
});

test("an address is a number or an id of WhatsApp, and nothing else", () => {
  assert.equal(jidOf({ phone: "+972501234567", external_id: null }), "972501234567@s.whatsapp.net");
  assert.equal(jidOf({ phone: null, external_id: "77@lid" }), "77@lid");
  for (const external_id of ["1-2@g.us", "status@broadcast", "x", "../etc"]) assert.equal(jidOf({ phone: null, external_id }), null);
  assert.equal(jidOf({ phone: "972501234567", external_id: null }), null);
});
