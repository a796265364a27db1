// The account's credentials and Signal's keys, in the database: whoever has them is the account.

import { BufferJSON, initAuthCreds, proto } from "baileys";

/** @typedef {import("./store.js").Store} Store */

const PUT =
  "INSERT INTO bridge_keys (kind, id, value) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value";

/** @param {unknown} value */
const packed = (value) => JSON.stringify(value, BufferJSON.replacer);
/** @param {string} text */
const unpacked = (text) => JSON.parse(text, BufferJSON.reviver);

/** What Baileys asks for as `auth`. @param {Store} store */
export async function credentials(store) {
  const [kept] = await store.all("SELECT value FROM bridge_keys WHERE kind = 'creds' AND id = ''");
  /** @type {import("baileys").AuthenticationCreds} */
  const creds = kept ? unpacked(kept.value) : initAuthCreds();
  return {
    state: {
      creds,
      keys: {
        /** @param {string} kind @param {string[]} ids @returns {Promise<any>} */
        async get(kind, ids) {
          /** @type {Record<string, unknown>} */
          const found = {};
          for (const id of ids) {
            const [row] = await store.all("SELECT value FROM bridge_keys WHERE kind = ? AND id = ?", [kind, id]);
            if (!row) continue;
            const value = unpacked(row.value);
            found[id] =
              kind === "app-state-sync-key" ? proto.Message.AppStateSyncKeyData.fromObject(value) : value;
          }
          return found;
        },
        /** All of it or nothing: half a session cannot be read any more. @param {Record<string, Record<string, unknown>>} data */
        async set(data) {
          await store.together(async () => {
            for (const [kind, values] of Object.entries(data)) {
              for (const [id, value] of Object.entries(values)) {
                if (value) await store.run(PUT, [kind, id, packed(value)]);
                else await store.run("DELETE FROM bridge_keys WHERE kind = ? AND id = ?", [kind, id]);
              }
            }
          });
        },
      },
    },
    save: () => store.together(async () => void (await store.run(PUT, ["creds", "", packed(creds)]))),
  };
}

/** Nobody is this account here any more. @param {Store} store */
export async function forget(store) {
  await store.together(async () => void (await store.run("DELETE FROM bridge_keys")));
}
