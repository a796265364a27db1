// Pairs an account without a telephone: the stand-in has no QR code to scan.

import { BufferJSON, initAuthCreds } from "baileys";
import { Store } from "../src/store.js";

const store = await Store.open(process.argv[2] ?? "");
const creds = { ...initAuthCreds(), me: { id: "15550100100:1@s.whatsapp.net", name: "Shop" }, registered: true };
await store.run("INSERT INTO bridge_keys (kind, id, value) VALUES ('creds', '', ?)", [
  JSON.stringify(creds, BufferJSON.replacer),
]);
await store.close();
