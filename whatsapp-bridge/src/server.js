// The bridge over HTTP, for the channels' process alone: on loopback, with a token.

import { timingSafeEqual } from "node:crypto";
import http from "node:http";
import { downloadMediaMessage } from "baileys";
import { jidOf } from "./messages.js";

/** @typedef {import("./line.js").Line} Line */
/** @typedef {import("./messages.js").Messages} Messages */

const MAX_BODY = 24 * 1024 * 1024;
const MAX_MEDIA = 16 * 1024 * 1024;
const HEARTBEAT_MS = 15_000;

class Refusal extends Error {
  /** @param {number} status @param {string} code @param {string} says @param {object} [more] */
  constructor(status, code, says, more = {}) {
    super(says);
    this.status = status;
    this.told = { error: code, says, ...more };
  }
}

export class Bridge {
  /** @param {Line} line @param {Messages} messages @param {{token: string, wordMs?: number}} options */
  constructor(line, messages, options) {
    this.line = line;
    this.messages = messages;
    this.token = Buffer.from(`Bearer ${options.token}`);
    this.wordMs = options.wordMs ?? 10_000;
    this.server = http.createServer((request, answer) => void this.#handle(request, answer));
  }

  /** @param {number} port @param {string} host @returns {Promise<number>} */
  listen(port, host) {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, () => {
        const address = this.server.address();
        resolve(typeof address === "object" && address ? address.port : port);
      });
    });
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** @param {http.IncomingMessage} request @param {http.ServerResponse} answer */
  async #handle(request, answer) {
    try {
      const url = new URL(request.url ?? "/", "http://bridge");
      if (url.pathname === "/healthz") return json(answer, 200, { status: "ok" });
      const sent = Buffer.from(request.headers.authorization ?? "");
      if (sent.length !== this.token.length || !timingSafeEqual(sent, this.token))
        throw new Refusal(401, "unauthorised", "send WHATSAPP_BRIDGE_TOKEN as a bearer token");
      const route = `${request.method} /${url.pathname.split("/")[1]}`;
      const part = url.pathname.split("/")[2];
      switch (route) {
        case "GET /status":
          return json(answer, 200, await this.#status());
        case "POST /logout":
          await this.line.logout();
          return json(answer, 200, await this.#status());
        case "GET /threads":
          return json(answer, 200, { threads: await this.messages.threads() });
        case "POST /messages":
          return json(answer, 200, await this.#send(await body(request)));
        case "GET /messages":
          return json(answer, 200, await this.#settle(decodeURIComponent(part ?? "")));
        case "GET /events":
          return await this.#events(Number(url.searchParams.get("after") ?? 0) || 0, request, answer);
        case "POST /events": {
          const seq = (await body(request)).seq;
          if (!Number.isSafeInteger(seq) || seq < 0) throw new Refusal(422, "invalid", "seq must be a whole number");
          await this.messages.acknowledge(seq);
          return json(answer, 200, { seq });
        }
        case "GET /media":
          return await this.#medium(part ?? "", answer);
        default:
          throw new Refusal(404, "not_found", "there is no such thing to ask");
      }
    } catch (error) {
      if (answer.headersSent) return void answer.end();
      if (error instanceof Refusal) return json(answer, error.status, error.told);
      json(answer, 500, { error: "internal", says: String(error), uncertain: true });
    }
  }

  async #status() {
    const { state, says, fix, account, qr } = this.line;
    return { state, says, fix, account, qr, warnings: await this.messages.warnings(), skipped: this.messages.skipped };
  }

  /** @param {any} asked */
  async #send(asked) {
    const { message_id: messageId, to, text, media } = asked;
    if (typeof messageId !== "string" || !/^[\x21-\x7e]{1,100}$/.test(messageId))
      throw new Refusal(422, "invalid", "message_id must be an id");
    if (typeof to !== "object" || to === null) throw new Refusal(422, "invalid", "to must say phone or external_id");
    const jid = jidOf(to);
    if (jid === null) throw new Refusal(422, "bad_address", "neither a phone nor an id that WhatsApp knows");
    const content = contentToSend(text ?? null, media ?? null);
    const known = await this.messages.send(messageId);
    if (!known && this.line.state !== "ready")
      throw new Refusal(503, "not_connected", this.line.says, { retry: true });
    return await this.#deliver(known ?? (await this.messages.begin(messageId, jid, content)), content);
  }

  /** What became of one that may have been sent; where that is not known, it goes out again by the same id. @param {string} messageId */
  async #settle(messageId) {
    const kept = await this.messages.send(messageId);
    if (!kept) throw new Refusal(404, "not_found", "it was never sent here");
    return await this.#deliver(kept, await this.messages.content(kept.wa_id));
  }

  /** @param {any} kept @param {any} content */
  async #deliver(kept, content) {
    if (kept.status === "failed") throw new Refusal(409, "whatsapp", kept.says ?? "WhatsApp refused it");
    if (kept.status !== "begun") return { provider_id: kept.wa_id, status: kept.status };
    const socket = this.line.socket;
    if (!socket || this.line.state !== "ready")
      throw new Refusal(503, "not_connected", this.line.says, { retry: false, uncertain: true });
    const word = this.messages.word(kept.wa_id, this.wordMs);
    try {
      await socket.sendMessage(kept.jid, content, { messageId: kept.wa_id });
    } catch (error) {
      throw new Refusal(504, "no_word", String(error), { uncertain: true });
    }
    const status = await word;
    if (status === "failed") throw new Refusal(409, "whatsapp", "WhatsApp refused it");
    if (status === null) throw new Refusal(504, "no_word", "WhatsApp has not confirmed it yet", { uncertain: true });
    return { provider_id: kept.wa_id, status };
  }

  /** @param {number} after @param {http.IncomingMessage} request @param {http.ServerResponse} answer */
  async #events(after, request, answer) {
    answer.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    let place = after;
    let busy = false;
    let again = false;
    const flush = async () => {
      again = true;
      if (busy) return;
      busy = true;
      while (again && !answer.destroyed) {
        again = false;
        for (const event of await this.messages.events(place)) {
          answer.write(`id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
          place = event.seq;
          again = true;
        }
      }
      busy = false;
    };
    const stop = this.messages.whenTold(() => void flush());
    const beat = setInterval(() => answer.write(": still here\n\n"), HEARTBEAT_MS);
    request.on("close", () => {
      stop();
      clearInterval(beat);
    });
    answer.write(": begin\n\n");
    await flush();
  }

  /** @param {string} id @param {http.ServerResponse} answer */
  async #medium(id, answer) {
    const message = await this.messages.medium(id);
    if (!message) throw new Refusal(404, "not_found", "there is no such medium");
    const stream = await downloadMediaMessage(message, "stream", {});
    answer.writeHead(200, { "Content-Type": "application/octet-stream" });
    let size = 0;
    for await (const chunk of stream) {
      size += chunk.length;
      if (size > MAX_MEDIA) {
        answer.destroy();
        return;
      }
      answer.write(chunk);
    }
    answer.end();
  }
}

/** @param {unknown} text @param {any} media */
function contentToSend(text, media) {
  if (text !== null && (typeof text !== "string" || text.length === 0 || text.length > 65_536))
    throw new Refusal(422, "invalid", "text must be a text, or null");
  if (media === null) {
    if (text === null) throw new Refusal(422, "invalid", "a message has a text or media");
    return { text };
  }
  const file = Buffer.from(String(media.base64 ?? ""), "base64");
  if (file.length === 0 || file.length > MAX_MEDIA) throw new Refusal(422, "invalid", "the medium is empty or too large");
  const kind = String(media.content_type ?? "");
  const caption = text ?? undefined;
  if (kind.startsWith("image/")) return { image: file, mimetype: kind, caption };
  if (kind.startsWith("video/")) return { video: file, mimetype: kind, caption };
  if (kind.startsWith("audio/")) return { audio: file, mimetype: kind };
  return { document: file, mimetype: kind || "application/octet-stream", fileName: media.file_name ?? "file", caption };
}

/** @param {http.IncomingMessage} request @returns {Promise<any>} */
async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Refusal(413, "too_large", `at most ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    const read = JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}");
    if (typeof read === "object" && read !== null && !Array.isArray(read)) return read;
  } catch {
    // told below
  }
  throw new Refusal(422, "invalid", "the body must be a JSON object");
}

/** @param {http.ServerResponse} answer @param {number} status @param {object} told */
function json(answer, status, told) {
  answer.writeHead(status, { "Content-Type": "application/json" });
  answer.end(JSON.stringify(told));
}
