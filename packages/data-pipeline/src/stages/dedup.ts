import { z } from "zod";
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

/** The settings of `dedup`. */
const settings = z
  .strictObject({ exact: exact.optional(), near: near.optional(), substring: substring.optional(), keep_by: keepBy })
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
  passes: ({ exact, near, substring, keep_by }) => [
    ...(exact === undefined ? [] : [{ exact, keep_by }]),
    ...(near === undefined ? [] : [{ near, keep_by }]),
    ...(substring === undefined ? [] : [{ substring, keep_by }]),
  ],
  steps({ exact, near, substring }) {
    const copies = (method: CopyMethod): ReturnType<typeof copySteps<DedupSettings>> =>
      copySteps(
        () => method,
        ({ keep_by }) => keep_by,
      );
    if (exact !== undefined) return copies(exactCopies(exact.scope));
    if (near !== undefined) return copies(nearCopies(near));
    if (substring !== undefined) return substringSteps(({ keep_by }) => ({ substring, keepBy: keep_by }));
    return [];
  },
};
