// The connection to WhatsApp: opened, watched, and opened again by the reason it was closed for.

import makeWASocket, { Browsers, DisconnectReason } from "baileys";
import { credentials, forget } from "./credentials.js";

/** @typedef {import("./messages.js").Messages} Messages */
/** @typedef {"ready" | "connecting" | "needs_qr" | "logged_out" | "replaced" | "banned" | "down"} State */

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
const STATUSES = /** @type {const} */ (["failed", null, "sent", "delivered", "read", "read"]);

export class Line {
  /** @type {State} */
  state = "connecting";
  says = "connecting";
  fix = "";
  /** @type {string | null} */
  qr = null;
  /** @type {string | null} */
  account = null;
  /** @type {ReturnType<typeof makeWASocket> | null} */
  socket = null;
  #tries = 0;
  #stopped = false;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {Promise<unknown>} What comes in is taken in one after the other. */
  #work = Promise.resolve();

  /**
   * @param {import("./store.js").Store} store
   * @param {Messages} messages
   * @param {{url?: string | undefined, logger: any, makeSocket?: typeof makeWASocket, waitMs?: number}} options
   */
  constructor(store, messages, options) {
    this.store = store;
    this.messages = messages;
    this.options = options;
  }

  async open() {
    if (this.#stopped) return;
    const auth = await credentials(this.store);
    const make = this.options.makeSocket ?? makeWASocket;
    const socket = make({
      auth: /** @type {any} */ (auth.state),
      logger: this.options.logger,
      browser: Browsers.ubuntu("voicelat"),
      markOnlineOnConnect: false,
      syncFullHistory: false,
      getMessage: async (key) => (key.id ? await this.messages.content(key.id) : undefined),
      ...(this.options.url ? { waWebSocketUrl: this.options.url } : {}),
    });
    this.socket = socket;
    socket.ev.on("creds.update", (update) => {
      Object.assign(auth.state.creds, update);
      this.#soon(() => auth.save());
    });
    socket.ev.on("connection.update", (update) => this.#soon(() => this.#changed(socket, update)));
    socket.ev.on("messages.upsert", ({ messages, type }) => {
      // "append" is history: it was told when it was new.
      if (type === "notify") for (const one of messages) this.#soon(() => this.messages.take(one));
    });
    socket.ev.on("messages.update", (updates) => {
      for (const { key, update } of updates) {
        const status = typeof update.status === "number" ? STATUSES[update.status] : null;
        if (key.fromMe && key.id && status) {
          const says = status === "failed" ? "WhatsApp refused it" : null;
          this.#soon(() => this.messages.became(/** @type {string} */ (key.id), status, says));
        }
      }
    });
    socket.ev.on("message-receipt.update", (updates) => {
      for (const { key, receipt } of updates) {
        const status = receipt.readTimestamp ? "read" : receipt.receiptTimestamp ? "delivered" : null;
        if (key.id && status) this.#soon(() => this.messages.became(/** @type {string} */ (key.id), status));
      }
    });
    // The client tells of refusals alone; that WhatsApp has a message, its server says by this.
    socket.ws.on("CB:ack,class:message", ({ attrs }) => {
      if (!attrs.id) return;
      if (attrs.error) this.#soon(() => this.messages.became(attrs.id, "failed", `WhatsApp refused it (${attrs.error})`));
      else this.#soon(() => this.messages.became(attrs.id, "sent"));
    });
    socket.ev.on("lid-mapping.update", ({ lid, pn }) => this.#soon(() => this.messages.link(lid, pn)));
  }

  /** @param {() => Promise<unknown>} work */
  #soon(work) {
    this.#work = this.#work.then(work).catch((error) => {
      this.options.logger.error({ error: String(error) }, "something that came in could not be taken in");
    });
  }

  /** @param {object} socket @param {Partial<import("baileys").ConnectionState>} update */
  async #changed(socket, update) {
    if (socket !== this.socket) return;
    if (update.qr) {
      this.#is("needs_qr", "no telephone is paired", "scan the code with WhatsApp: Settings, Linked devices");
      this.qr = update.qr;
    }
    if (update.connection === "open") {
      this.#tries = 0;
      this.qr = null;
      const id = this.socket?.user?.id ?? null;
      this.account = id ? `+${id.split(/[:@]/)[0]}` : null;
      this.#is("ready", "connected", "");
    }
    if (update.connection === "close") await this.#closed(update.lastDisconnect?.error);
  }

  /** @param {Error | undefined} error */
  async #closed(error) {
    /** @type {number | undefined} */
    const code = /** @type {any} */ (error)?.output?.statusCode;
    this.socket = null;
    switch (code) {
      case DisconnectReason.loggedOut:
        await forget(this.store);
        this.account = null;
        this.#is("logged_out", "the telephone has unlinked this device", "pair it again: a new code comes");
        this.#again(0);
        return;
      case DisconnectReason.forbidden:
        this.#is("banned", "WhatsApp has banned this number", "appeal in the app, or carry by Twilio");
        return;
      case DisconnectReason.connectionReplaced:
        this.#is("replaced", "another bridge has taken this account over", "stop the other one, then restart this");
        return;
      case DisconnectReason.restartRequired:
        this.#is("connecting", "WhatsApp asked for a new connection", "");
        this.#again(0);
        return;
      default: {
        const wait = Math.min(this.#wait() * 2 ** this.#tries, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
        this.#tries += 1;
        this.#is("connecting", `the connection was lost (${code ?? error?.message ?? "no reason"})`, "");
        this.#again(wait);
      }
    }
  }

  #wait() {
    return this.options.waitMs ?? FIRST_WAIT_MS;
  }

  /** @param {number} ms */
  #again(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.open().catch((error) => {
        this.#is("down", String(error), "");
        this.#again(LONGEST_WAIT_MS);
      });
    }, ms);
  }

  /** @param {State} state @param {string} says @param {string} fix */
  #is(state, says, fix) {
    this.state = state;
    this.says = says;
    this.fix = fix;
    this.options.logger.info({ state }, says);
  }

  async logout() {
    await this.socket?.logout().catch(() => undefined);
    await forget(this.store);
    this.account = null;
    if (this.state !== "logged_out") {
      this.#is("logged_out", "the account was forgotten", "pair one: a code comes");
      this.#again(0);
    }
  }

  async stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.socket?.end(undefined);
    await this.#work;
  }
}
