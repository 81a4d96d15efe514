import { assert } from "@lapidary/std";
import { z } from "zod";
import { ruleError } from "../rules/rule-error.js";
import type { Columns } from "../rules/parse-expression.js";
import type { ViewDocument } from "../view/view.js";

/**
 * Which of several copies is kept: the first of these that differs decides. A measure and the `length` in bytes prefer the largest value; `id` prefers the
 * least. No two documents have equal ids, so the choice does not depend on shards and their order.
 */
export const keepBy = z.array(z.string()).min(1).default(["length", "id"]);

const numberBytes = 8;
const idBytes = 32;

/** @throws LapidaryError LAP_DATA_RULE for a name that is not a column of numbers, and for what follows `id` */
export function checkKeepBy(names: readonly string[], columns: Columns): void {
  for (const [i, name] of names.entries()) {
    if (i > 0 && names[i - 1] === "id")
      throw ruleError(`keep_by: "${name}" has no effect after "id"`, "dedup.keep_by", "end the list with id: no two ids are equal");
    if (name === "id" || name === "length" || columns.get(name) === "number") continue;
    throw ruleError(
      `keep_by: there is no column of numbers "${name}"`,
      "dedup.keep_by",
      "name length, id, or a number that a stage measure computes",
    );
  }
}

const valuesOf = (names: readonly string[]): readonly string[] => names.filter((name) => name !== "id");

export const rankBytes = (names: readonly string[]): number => valuesOf(names).length * numberBytes + idBytes;

/** Writes the rank of a document: bytes whose order is the order of preference. */
export function putRank(bytes: Buffer, at: number, names: readonly string[], { id, text, values }: ViewDocument): void {
  let end = at;
  for (const name of valuesOf(names)) {
    const value = name === "length" ? Buffer.byteLength(text) : values[name];
    putDescending(bytes, end, typeof value === "number" ? value : Number.NaN);
    end += numberBytes;
  }
  assert(/^[0-9a-f]{64}$/.test(id), "the id of a document is a SHA-256", id);
  bytes.write(id, end, "hex");
}

/** A number in 8 bytes, the largest first; NaN last. */
function putDescending(bytes: Buffer, at: number, value: number): void {
  if (Number.isNaN(value)) return void bytes.fill(0xff, at, at + numberBytes);
  // −0 equals 0.
  bytes.writeDoubleBE(value === 0 ? 0 : value, at);
  // The bits of a positive number grow with it, and those of a negative number shrink.
  if (value >= 0) for (let i = 0; i < numberBytes; i++) bytes[at + i] = (bytes[at + i] ?? 0) ^ (i === 0 ? 0x7f : 0xff);
}
