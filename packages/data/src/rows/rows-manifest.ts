import { z } from "zod";
import { commonFields, hasFormat, parseManifest, readManifestJson, type SplitName } from "../dataset/manifest.js";

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
  ...commonFields,
  /** Tokens of a row. */
  seq: z.number().int().positive(),
  /** Whether a row has several documents. */
  pack: z.boolean(),
  splits: z.strictObject({ train: splitSchema, heldout: splitSchema }),
  /** The sources of the training documents, in the order of the file. */
  sources: z.array(z.strictObject({ name: z.string(), documents: count, share: z.number().optional() })),
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
export const hasRows = (json: unknown): boolean => hasFormat(json, "lapidary-rows");

/** @throws LapidaryError `LAP_DATA_DATASET` */
export const readRowsManifest = (directory: string): RowsManifest =>
  parseManifest(rowsManifestSchema, directory, readManifestJson(directory));
