// What the bridge must not forget, in SQLite or PostgreSQL: credentials, keys, messages, events.
//
// One interface over both; statements are written with ? and run one after the other.

import fs from "node:fs";
import sqlite from "node-sqlite3-wasm";
import pg from "pg";

/** @typedef {string | number | null} Value */
/** @typedef {Record<string, any>} Row */

const TABLES = [
  "CREATE TABLE IF NOT EXISTS bridge_keys (kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, id))",
  "CREATE TABLE IF NOT EXISTS bridge_sends (message_id TEXT PRIMARY KEY, wa_id TEXT NOT NULL UNIQUE, jid TEXT NOT NULL, content TEXT, status TEXT NOT NULL, says TEXT, at BIGINT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS bridge_events (seq SERIAL_KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT, at BIGINT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS bridge_media (id TEXT PRIMARY KEY, message TEXT NOT NULL, at BIGINT NOT NULL)",
  "CREATE TABLE IF NOT EXISTS bridge_people (jid TEXT PRIMARY KEY, name TEXT, wrote_at BIGINT, sent_at BIGINT)",
];

export class Store {
  /** @param {string} url `sqlite:///FILE` or `postgresql://…` */
  static async open(url) {
    const store = url.startsWith("postgres") ? await Postgres.connect(url) : Sqlite.at(url);
    for (const table of TABLES) await store.run(table.replace("SERIAL_KEY", store.serial));
    return store;
  }

  serial = "";
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /** Does one thing at a time, all of it or nothing. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  together(work) {
    const next = this.#last.then(async () => {
      await this.run("BEGIN");
      try {
        const made = await work();
        await this.run("COMMIT");
        return made;
      } catch (error) {
        await this.run("ROLLBACK");
        throw error;
      }
    });
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** @param {string} _sql @param {Value[]} [_values] @returns {Promise<number>} rows that changed */
  async run(_sql, _values) {
    throw new Error("abstract");
  }

  /** @param {string} _sql @param {Value[]} [_values] @returns {Promise<Row[]>} */
  async all(_sql, _values) {
    throw new Error("abstract");
  }

  async close() {}
}

class Sqlite extends Store {
  serial = "INTEGER PRIMARY KEY AUTOINCREMENT";
  #database;

  /** @param {string} path */
  constructor(path) {
    super();
    // The library locks by a folder; one that a killed process left behind is nobody's.
    fs.rmSync(`${path}.lock`, { recursive: true, force: true });
    this.#database = new sqlite.Database(path);
    this.#database.exec("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON");
    fs.chmodSync(path, 0o600);
  }

  /** @param {string} url */
  static at(url) {
    const path = url.replace(/^sqlite:\/\/\//, "");
    if (path === url || path === "") throw new Error("BRIDGE_DB_URL must be sqlite:///FILE or postgresql://…");
    return new Sqlite(path);
  }

  /** @param {string} sql @param {Value[]} [values] */
  async run(sql, values = []) {
    return this.#database.run(sql, values).changes;
  }

  /** @param {string} sql @param {Value[]} [values] */
  async all(sql, values = []) {
    return /** @type {Row[]} */ (this.#database.all(sql, values));
  }

  async close() {
    this.#database.close();
  }
}

class Postgres extends Store {
  serial = "BIGSERIAL PRIMARY KEY";
  #client;

  /** @param {pg.Client} client */
  constructor(client) {
    super();
    this.#client = client;
  }

  /** @param {string} url */
  static async connect(url) {
    const client = new pg.Client({ connectionString: url.replace(/^postgres(ql)?(\+\w+)?:/, "postgresql:") });
    await client.connect();
    // Two bridges on one account would throw each other out.
    const held = await client.query("SELECT pg_try_advisory_lock(1986618947) AS mine");
    if (!held.rows[0].mine) throw new Error("another bridge uses this database");
    return new Postgres(client);
  }

  /** @param {string} sql @param {Value[]} values */
  #asked(sql, values) {
    let count = 0;
    return this.#client.query(sql.replaceAll("?", () => `$${++count}`), values);
  }

  /** @param {string} sql @param {Value[]} [values] */
  async run(sql, values = []) {
    return (await this.#asked(sql, values)).rowCount ?? 0;
  }

  /** @param {string} sql @param {Value[]} [values] */
  async all(sql, values = []) {
    return (await this.#asked(sql, values)).rows;
  }

  async close() {
    await this.#client.end();
  }
}
