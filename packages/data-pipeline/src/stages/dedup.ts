import { z } from "zod";
import { amount } from "../file/amounts.js";
import { substringSteps } from "../dedup/cut-repeats.js";
import { type CopyMethod, copySteps, exactCopies, nearCopies } from "../dedup/find-copies.js";
import { checkKeepBy, keepBy } from "../dedup/rank.js";
import { scope } from "../dedup/scope.js";
import type { Stage } from "./stage.js";

const exact = z.strictObject({ scope: scope.default("source") });
const near = z.strictObject({
  grams: z.number().int().min(1).default(5),
  buckets: z.number().int().min(1).max(1000).default(14),
  hashes: z.number().int().min(1).max(1000).default(8),
  scope: scope.default("source"),
});
const substring = z.strictObject({
  /** Shorter windows are phrases that many texts have. */
  bytes: z.number().int().min(20).max(65_536).default(100),
  keep: z.number().int().min(0).default(1),
  scope: scope.default("source"),
});

/** Bytes of texts for each partition of keys. A partition is the unit of work of the steps that compare all shards. */
const partition = amount.default(2 ** 30);

/** The settings of `dedup`. */
const settings = z
  .strictObject({ exact: exact.optional(), near: near.optional(), substring: substring.optional(), keep_by: keepBy, partition })
  .refine((value) => value.exact ?? value.near ?? value.substring, { message: "dedup has no method: name exact, near or substring" });
export type DedupSettings = z.output<typeof settings>;

/** Removes copies of documents, near-duplicates, and passages that occur in several documents, in this order. Each sees what the one before left. */
export const dedup: Stage<DedupSettings> = {
  settings,
  changes: true,
  columns(settings, before) {
    checkKeepBy(settings.keep_by, before);
    return before;
  },
  passes: ({ exact, near, substring, keep_by, partition }) => [
    ...(exact === undefined ? [] : [{ exact, keep_by, partition }]),
    ...(near === undefined ? [] : [{ near, keep_by, partition }]),
    ...(substring === undefined ? [] : [{ substring, keep_by, partition }]),
  ],
  steps({ exact, near, substring }) {
    const copies = (method: CopyMethod): ReturnType<typeof copySteps<DedupSettings>> =>
      copySteps(method.rounds, ({ keep_by, partition }) => ({ method, keepBy: keep_by, partitionBytes: partition }));
    if (exact !== undefined) return copies(exactCopies(exact.scope));
    if (near !== undefined) return copies(nearCopies(near));
    if (substring !== undefined)
      return substringSteps(({ keep_by, partition }) => ({ substring, keepBy: keep_by, partitionBytes: partition }));
    return [];
  },
};
