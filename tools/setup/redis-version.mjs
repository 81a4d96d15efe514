/** The versions of a Redis-compatible server that Lapidary supports, for the set-up, `lapidary doctor` and the coordinator. */

/** The oldest Redis that has every command that BullMQ and Lapidary use: major, minor. */
export const oldestRedis = /** @type {const} */ ([6, 2]);

/** `6.2`, for messages. */
export const oldestRedisName = oldestRedis.join(".");

/**
 * Whether a version is older than the oldest that works. A text that does not begin with a number counts as older.
 * @param {string} version such as `7.0.15`
 */
export function isOldRedis(version) {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10) || 0);
  return major < oldestRedis[0] || (major === oldestRedis[0] && minor < oldestRedis[1]);
}

/**
 * Reads what a server prints for `--version`, such as `Valkey server v=9.1.2 sha=…` or `Redis server version 2.4.10 (…)`.
 * @param {string} text
 * @returns {{ name: string, version: string } | undefined} undefined when the text has no such line
 */
export function parseServerVersion(text) {
  const found = /^(\w+) server (?:v=|version )(\d+\.\d+\S*)/im.exec(text);
  return found === null ? undefined : { name: String(found[1]), version: String(found[2]) };
}
