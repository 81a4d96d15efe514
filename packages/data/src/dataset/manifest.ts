import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { firstIssue } from "@lapidary/tokenizer";
import { badDataset } from "../data-errors.js";

const count = z.number().int().nonnegative();

export const splitSchema = z.strictObject({
  documents: count,
  /** In the file, `<bos>` and `<eos>` included. */
  tokens: count,
  /** Targets in an epoch: all tokens except `<bos>`. */
  targets: count,
  /** Size of the text in UTF-8, for bits per byte. */
  textBytes: count,
});

/** The control tokens of a manifest. */
const controlSchema = z.strictObject({ bos: count.optional(), eos: count.optional(), pad: count, stops: z.array(count) });

/** The fields that the manifests of all kinds of datasets have. */
export const commonFields = {
  /** The key of the request, which is the name of the directory. */
  key: z.string(),
  /** SHA-256 of the tokenizer and of all that the numbers are made from. Runs read the same numbers exactly if it is equal. */
  contentHash: z.string(),
  /** The source of the text or of the examples, for users. */
  corpus: z.string(),
  /** One past the greatest id of the tokenizer. */
  vocabSize: z.number().int().positive(),
  /** SHA-256 of the files of the tokenizer. */
  tokenizerHash: z.string(),
  /** Control tokens. `bos` is not a target, unless one token begins and ends texts. In that case `eos` is absent. */
  control: controlSchema,
  bytesPerToken: z.union([z.literal(2), z.literal(4)]),
  /** Loss of a unigram model of the training tokens on the held-out targets, nats per token. A mixture counts a sample of both. */
  unigramNats: z.number().nonnegative(),
} as const;

/** The schema of `dataset.json`. */
const manifestSchema = z.strictObject({
  format: z.literal("lapidary-dataset"),
  version: z.literal(2),
  ...commonFields,
  splits: z.strictObject({ train: splitSchema, heldout: splitSchema }),
  /** Files and texts that are not in the corpus, by reason. */
  leftOut: z.record(z.string(), count),
});

export type Manifest = Readonly<z.infer<typeof manifestSchema>>;
export type SplitName = "train" | "heldout";

export const manifestFile = "dataset.json";

/** Files of a dataset directory. */
export const datasetFiles = {
  manifest: manifestFile,
  /** A directory: the files of the tokenizer, as in a checkpoint. */
  tokenizer: "tokenizer",
  documents: "documents.jsonl",
  tokens: (split: SplitName): string => `${split}.bin`,
} as const;

/** @throws LapidaryError `LAP_DATA_DATASET` */
export const readManifest = (directory: string): Manifest => parseManifest(manifestSchema, directory, readManifestJson(directory));

/** The manifest of a directory, from its JSON. @throws LapidaryError `LAP_DATA_DATASET` if it has another form */
export function parseManifest<T>(schema: z.ZodType<T>, directory: string, json: unknown): T {
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw badDataset(join(directory, manifestFile), firstIssue(parsed.error));
  return parsed.data;
}

/** Whether the JSON of a manifest names a format. */
export const hasFormat = (json: unknown, format: string): boolean =>
  typeof json === "object" && json !== null && "format" in json && json.format === format;

/** @throws LapidaryError `LAP_DATA_DATASET` */
export function readManifestJson(directory: string): unknown {
  const path = join(directory, manifestFile);
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw badDataset(path, cause instanceof Error ? cause.message : String(cause));
  }
}
