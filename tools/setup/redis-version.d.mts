/** Types of the supported versions of a Redis-compatible server; `redis-version.mjs` is the code. */

/** The oldest Redis that has every command that BullMQ and Lapidary use: major, minor. */
export const oldestRedis: readonly [number, number];

/** `6.2`, for messages. */
export const oldestRedisName: string;

/** Whether a version is older than the oldest that works. A text that does not begin with a number counts as older. */
export function isOldRedis(version: string): boolean;

/** Reads what a server prints for `--version`; undefined if the text lacks such a line. */
export function parseServerVersion(text: string): { readonly name: string; readonly version: string } | undefined;
