// What goes out and what comes in, written down first: a bridge that dies forgets neither.

import { createHash, randomUUID } from "node:crypto";
import { BufferJSON, isJidBroadcast, isJidGroup, isJidNewsletter, jidNormalizedUser } from "baileys";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("baileys").WAMessage} WAMessage */

export const RANK = { begun: 0, sent: 1, failed: 2, delivered: 3, read: 4 };
const DAY_MS = 86_400_000;
const KEPT_MS = 30 * DAY_MS;

/** WhatsApp's id of a message of ours: the same message has the same id, and is shown once. @param {string} messageId */
export function waIdOf(messageId) {
  return `3EB0${createHash("sha256").update(messageId).digest("hex").slice(0, 18).toUpperCase()}`;
}

/** @param {{phone: string | null, external_id: string | null}} to @returns {string | null} */
export function jidOf(to) {
  if (to.external_id && /^[\w.:-]+@(s\.whatsapp\.net|lid)$/.test(to.external_id)) return jidNormalizedUser(to.external_id);
  if (to.phone && /^\+[1-9]\d{6,14}$/.test(to.phone)) return `${to.phone.slice(1)}@s.whatsapp.net`;
  return null;
}

/** @param {string | null | undefined} jid @returns {string | null} */
export function phoneOf(jid) {
  const match = /^(\d{7,15})(:\d+)?@s\.whatsapp\.net$/.exec(jid ?? "");
  return match ? `+${match[1]}` : null;
}

export class Messages {
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {Map<string, Set<(status: string) => void>>} */
  #settling = new Map();
  /** Messages of groups, broadcasts and channels, which are not taken in. */
  skipped = 0;
  /** Sends in a row that failed. */
  failedInARow = 0;

  /** @param {Store} store @param {() => number} [now] */
  constructor(store, now = Date.now) {
    this.store = store;
    this.now = now;
  }

  // -- out ------------------------------------------------------------------------------------

  /** Writes down that it is about to be sent. @param {string} messageId @param {string} jid @param {object} content */
  async begin(messageId, jid, content) {
    const kept = await this.send(messageId);
    if (kept) return kept;
    const waId = waIdOf(messageId);
    await this.store.run(
      "INSERT INTO bridge_sends (message_id, wa_id, jid, content, status, says, at) VALUES (?, ?, ?, ?, 'begun', NULL, ?)",
      [messageId, waId, jid, JSON.stringify(content, BufferJSON.replacer), this.now()],
    );
    await this.store.run(
      "INSERT INTO bridge_people (jid, sent_at) VALUES (?, ?) ON CONFLICT (jid) DO UPDATE SET sent_at = excluded.sent_at",
      [jid, this.now()],
    );
    return await this.send(messageId);
  }

  /** @param {string} messageId */
  async send(messageId) {
    const [row] = await this.store.all("SELECT * FROM bridge_sends WHERE message_id = ?", [messageId]);
    return row ?? null;
  }

  /** The content of a send, for a telephone that asks for it again. @param {string} waId */
  async content(waId) {
    const [row] = await this.store.all("SELECT content FROM bridge_sends WHERE wa_id = ?", [waId]);
    return row?.content ? JSON.parse(row.content, BufferJSON.reviver) : undefined;
  }

  /** What became of a send: only ever further. @param {string} waId @param {keyof typeof RANK} status @param {string | null} [says] */
  async became(waId, status, says = null) {
    const [row] = await this.store.all("SELECT * FROM bridge_sends WHERE wa_id = ?", [waId]);
    if (!row || RANK[/** @type {keyof typeof RANK} */ (row.status)] >= RANK[status]) return;
    await this.store.together(async () => {
      await this.store.run("UPDATE bridge_sends SET status = ?, says = ? WHERE wa_id = ?", [status, says, waId]);
      await this.#tell(`receipt:${waId}:${status}`, "receipt", {
        provider_id: waId,
        message_id: row.message_id,
        status,
        at: new Date(this.now()).toISOString(),
        error_code: status === "failed" ? "whatsapp" : null,
        says,
      });
    });
    this.failedInARow = status === "failed" ? this.failedInARow + 1 : 0;
    for (const settled of this.#settling.get(waId) ?? []) settled(status);
    this.#wake();
  }

  /** Waits for WhatsApp's word; null: none came in time. @param {string} waId @param {number} ms @returns {Promise<string | null>} */
  word(waId, ms) {
    return new Promise((resolve) => {
      const all = this.#settling.get(waId) ?? new Set();
      this.#settling.set(waId, all);
      /** @param {string | null} status */
      const done = (status) => {
        clearTimeout(timer);
        all.delete(done);
        if (all.size === 0) this.#settling.delete(waId);
        resolve(status);
      };
      const timer = setTimeout(() => done(null), ms);
      all.add(done);
    });
  }

  // -- in -------------------------------------------------------------------------------------

  /** Takes in what somebody wrote. @param {WAMessage} message */
  async take(message) {
    const jid = message.key.remoteJid;
    const id = message.key.id;
    if (!jid || !id || message.key.fromMe || !message.message) return;
    if (isJidGroup(jid) || isJidBroadcast(jid) || isJidNewsletter(jid)) {
      this.skipped += 1;
      return;
    }
    const alt = /** @type {{remoteJidAlt?: string}} */ (message.key).remoteJidAlt ?? null;
    const phone = phoneOf(jid) ?? phoneOf(alt);
    const sender = { phone, external_id: jidNormalizedUser(jid) };
    const { text, media } = contentOf(message);
    if (text === null && media === null) return;
    const at = Number(message.messageTimestamp ?? 0) * 1000 || this.now();
    await this.store.together(async () => {
      /** @type {object[]} */
      const files = [];
      if (media) {
        const mediaId = randomUUID();
        await this.store.run("INSERT INTO bridge_media (id, message, at) VALUES (?, ?, ?)", [
          mediaId,
          JSON.stringify(message, BufferJSON.replacer),
          this.now(),
        ]);
        files.push({ source: mediaId, content_type: media.content_type, file_name: media.file_name });
      }
      await this.#tell(`in:${id}`, "message", {
        provider_id: id,
        sender,
        profile_name: message.pushName ?? null,
        text,
        media: files,
        at: new Date(at).toISOString(),
        reply_to: replyOf(message),
      });
      await this.store.run(
        "INSERT INTO bridge_people (jid, name, wrote_at) VALUES (?, ?, ?) ON CONFLICT (jid) DO UPDATE SET name = excluded.name, wrote_at = excluded.wrote_at",
        [sender.external_id, message.pushName ?? null, this.now()],
      );
    });
    const other = alt ? jidNormalizedUser(alt) : null;
    if (other && other !== sender.external_id) await this.link(sender.external_id, other);
    this.#wake();
  }

  /** Two ids of one person. @param {string} one @param {string} other */
  async link(one, other) {
    const [lid, number] = one.endsWith("@lid") ? [one, other] : [other, one];
    const body = {
      external_id: jidNormalizedUser(lid),
      also: { phone: phoneOf(number), external_id: jidNormalizedUser(number) },
    };
    await this.#tell(`link:${lid}:${number}`, "linked", body);
    this.#wake();
  }

  /** @param {string} id */
  async medium(id) {
    const [row] = await this.store.all("SELECT message FROM bridge_media WHERE id = ?", [id]);
    return row ? /** @type {WAMessage} */ (JSON.parse(row.message, BufferJSON.reviver)) : null;
  }

  /** Who was written to or wrote, latest first. */
  async threads() {
    return await this.store.all(
      "SELECT jid, name, wrote_at, sent_at FROM bridge_people ORDER BY COALESCE(wrote_at, sent_at) DESC LIMIT 500",
    );
  }

  // -- telling --------------------------------------------------------------------------------

  /** @param {string} key @param {string} kind @param {object} body */
  async #tell(key, kind, body) {
    await this.store.run(
      "INSERT INTO bridge_events (key, kind, body, at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
      [key, kind, JSON.stringify(body), this.now()],
    );
  }

  /** Events behind `after` that are not acknowledged. @param {number} after */
  async events(after) {
    const rows = await this.store.all(
      "SELECT seq, kind, body FROM bridge_events WHERE seq > ? AND body IS NOT NULL ORDER BY seq LIMIT 200",
      [after],
    );
    return rows.map((row) => /** @type {any} */ ({ seq: Number(row.seq), kind: row.kind, [row.kind]: JSON.parse(row.body) }));
  }

  /** They are kept elsewhere now: their texts are forgotten, their keys stay, so that none comes twice. @param {number} seq */
  async acknowledge(seq) {
    await this.store.run("UPDATE bridge_events SET body = NULL WHERE seq <= ? AND body IS NOT NULL", [seq]);
    const old = this.now() - KEPT_MS;
    await this.store.run("DELETE FROM bridge_events WHERE body IS NULL AND at < ?", [old]);
    await this.store.run("DELETE FROM bridge_media WHERE at < ?", [old]);
    await this.store.run("DELETE FROM bridge_sends WHERE at < ?", [old]);
  }

  /** @param {() => void} then @returns {() => void} stops it */
  whenTold(then) {
    this.#waiting.add(then);
    return () => void this.#waiting.delete(then);
  }

  #wake() {
    for (const then of this.#waiting) then();
  }

  /** Signs that the number may be banned, in words. */
  async warnings() {
    const hour = this.now() - 3_600_000;
    const minute = this.now() - 60_000;
    /** @param {string} sql @param {number} since */
    const count = async (sql, since) => Number((await this.store.all(sql, [since]))[0]?.n ?? 0);
    const strangers = await count(
      "SELECT COUNT(*) AS n FROM bridge_people WHERE sent_at > ? AND wrote_at IS NULL",
      hour,
    );
    const rate = await count("SELECT COUNT(*) AS n FROM bridge_sends WHERE at > ?", minute);
    const told = [];
    if (strangers >= 10) told.push(`${strangers} people who never wrote were written to within an hour`);
    if (rate >= 20) told.push(`${rate} messages were sent within a minute`);
    if (this.failedInARow >= 3) told.push(`the last ${this.failedInARow} messages failed`);
    return told;
  }
}

/** @param {WAMessage} message */
function contentOf(message) {
  const inner = unwrapped(message.message ?? {});
  const file =
    inner.imageMessage ?? inner.videoMessage ?? inner.audioMessage ?? inner.documentMessage ?? inner.stickerMessage;
  const media = file
    ? {
        content_type: (file.mimetype ?? "application/octet-stream").split(";")[0] ?? "application/octet-stream",
        file_name: inner.documentMessage?.fileName ?? null,
      }
    : null;
  const place = inner.locationMessage;
  const text =
    inner.conversation ||
    inner.extendedTextMessage?.text ||
    inner.imageMessage?.caption ||
    inner.videoMessage?.caption ||
    inner.documentMessage?.caption ||
    inner.buttonsResponseMessage?.selectedDisplayText ||
    inner.listResponseMessage?.title ||
    inner.templateButtonReplyMessage?.selectedDisplayText ||
    (place ? `[place ${place.degreesLatitude}, ${place.degreesLongitude} ${place.name ?? ""}]`.replace(" ]", "]") : null) ||
    null;
  return { text, media };
}

/** @param {import("baileys").proto.IMessage} message @returns {import("baileys").proto.IMessage} */
function unwrapped(message) {
  const inner =
    message.ephemeralMessage?.message ??
    message.viewOnceMessage?.message ??
    message.viewOnceMessageV2?.message ??
    message.documentWithCaptionMessage?.message;
  return inner ? unwrapped(inner) : message;
}

/** @param {WAMessage} message */
function replyOf(message) {
  const inner = unwrapped(message.message ?? {});
  const context = inner.extendedTextMessage?.contextInfo ?? inner.imageMessage?.contextInfo;
  return context?.stanzaId ?? null;
}
