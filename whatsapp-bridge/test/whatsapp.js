// A stand-in for WhatsApp on loopback, to which the real Baileys client speaks: prints where it is.

import { startWhatsAppServer } from "@openclaw/crabline";

const [port = "0", recorderPath = "whatsapp.jsonl"] = process.argv.slice(2);
const server = await startWhatsAppServer({
  port: Number(port),
  recorderPath,
  accessToken: "crabline-access",
  adminToken: "crabline-admin",
  selfJid: "15550100100@s.whatsapp.net",
});
process.stdout.write(`${JSON.stringify(server.manifest)}\n`);
process.on("SIGTERM", () => void server.close().then(() => process.exit(0)));
