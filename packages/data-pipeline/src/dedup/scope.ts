import { createHash } from "node:crypto";
import { hash32 } from "@lapidary/std";
import { z } from "zod";
import type { ShardView, ViewDocument } from "../view/view.js";

/** Where copies of a document are looked for: in its dump, in its source, or everywhere. A dump is the first directory of a file within its source. */
export const scope = z.enum(["dump", "source", "all"]);
export type Scope = z.infer<typeof scope>;

/** The name of the set of documents in which copies are looked for. */
export function scopeOf(scope: Scope, { source }: ShardView, { file }: ViewDocument): string {
  const directory = /^([^/]+)\//.exec(file)?.[1] ?? "";
  return scope === "all" ? "" : scope === "source" ? source : `${source}/${directory}`;
}

/** Writes 8 bytes of key at `at`: the hash of 64 bits in a scope. Equal hashes in different scopes have different keys. */
export function putKey(bytes: Buffer, at: number, high: number, low: number, scopeHash: number): void {
  bytes.writeUInt32BE(hash32(low ^ scopeHash, high), at);
  bytes.writeUInt32BE(hash32(high, ~low ^ scopeHash), at + 4);
}

export const keyBytes = 8;
export const digestBytes = 16;

/** 128 bits of SHA-256: texts with equal digests are equal. */
export const digestOf = (bytes: Uint8Array | string, scope: string): Buffer =>
  createHash("sha256").update(scope).update("\0").update(bytes).digest().subarray(0, digestBytes);
