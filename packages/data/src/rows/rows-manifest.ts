import { join } from "node:path";
import { firstIssue } from "@lapidary/tokenizer";
import { z } from "zod";
import { badDataset } from "../data-errors.js";
import { controlSchema, manifestFile, readManifestJson, type SplitName } from "../dataset/manifest.js";

const count = z.number().int().nonnegative();

const splitSchema = z.strictObject({
  documents: count,
  /** In the file. */
  tokens: count,
  /** Tokens that are trained. */
  targets: count,
});

/** Number of rows that a manifest names of all that are refused. */
export const maxNamedRows = 20;

/** The schema of `dataset.json` of a dataset of rows. */
const rowsManifestSchema = z.strictObject({
  format: z.literal("lapidary-rows"),
  version: z.literal(1),
  /** The key of the request, which is the name of the directory. */
  key: z.string(),
  /** SHA-256 of the tokenizer and all files of documents. Runs read the same numbers exactly if it is equal. */
  contentHash: z.string(),
  /** The files of the examples, for users. */
  corpus: z.string(),
  vocabSize: z.number().int().positive(),
  /** SHA-256 of the files of the tokenizer. */
  tokenizerHash: z.string(),
  control: controlSchema,
  bytesPerToken: z.union([z.literal(2), z.literal(4)]),
  /** Tokens of a row. */
  seq: z.number().int().positive(),
  /** Whether a row has several documents. */
  pack: z.boolean(),
  splits: z.strictObject({ train: splitSchema, heldout: splitSchema }),
  /** The sources of the training documents, in the order of the file. */
  sources: z.array(z.strictObject({ name: z.string(), documents: count, share: z.number().optional() })),
  /** Loss of a unigram model of the trained tokens on the held-out targets, nats per token. */
  unigramNats: z.number().nonnegative(),
  /** Rows that are not used. */
  refused: z.strictObject({
    /** Number of rows by error code. */
    byCode: z.record(z.string(), count),
    first: z.array(z.strictObject({ file: z.string(), row: count, code: z.string(), reason: z.string(), remedy: z.string() })),
  }),
  /** What each filter did, in the order of the filters. */
  filters: z.array(z.strictObject({ filter: z.string(), checked: count, removed: count, removedByKind: z.record(z.string(), count) })),
});

export type RowsManifest = Readonly<z.infer<typeof rowsManifestSchema>>;

/** Number of rows by error code. */
export function countCodes(rows: readonly { readonly code: string }[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { code } of rows) counts.set(code, (counts.get(code) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Files of the documents of a split: ids, whether each is trained (one byte), and the number of tokens of each document (u32). */
export const rowsFiles = {
  tokens: (split: SplitName): string => `${split}.bin`,
  mask: (split: SplitName): string => `${split}-mask.bin`,
  lengths: (split: SplitName): string => `${split}-lengths.bin`,
} as const;

/** Whether a manifest is that of a dataset of rows. */
export const hasRows = (json: unknown): boolean =>
  typeof json === "object" && json !== null && "format" in json && json.format === "lapidary-rows";

/** @throws LapidaryError `LAP_DATA_DATASET` */
export function readRowsManifest(directory: string): RowsManifest {
  const parsed = rowsManifestSchema.safeParse(readManifestJson(directory));
  if (!parsed.success) throw badDataset(join(directory, manifestFile), firstIssue(parsed.error));
  return parsed.data;
}
