import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, LapidaryError, replaceFile } from "@lapidary/std";
import { z } from "zod";
import { damagedDataset, unreadable } from "./dataset-error.js";

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be SHA-256 in hex");
/** Below the directory of the dataset, so that a dataset can be moved. */
const relativePath = z.string().regex(/^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$)).+$/, "must be a path below the dataset");

const shardSchema = z.strictObject({
  /** The path of the token ids. */
  tokens: relativePath,
  /** The path of the table of documents. */
  documents: relativePath,
  token_count: count,
  document_count: count,
  /** Of the bytes of the token ids, followed by those of the table of documents. */
  sha256,
});

const sourceSchema = z.strictObject({
  licence: z.string(),
  documents: count,
  tokens: count,
  /** Of the text in UTF-8, for bits per byte. */
  bytes: count,
  shards: z.array(shardSchema),
});

const datasetSchema = z.strictObject({
  version: z.literal(1),
  tokenizer: z.strictObject({
    file: relativePath,
    sha256,
    /** One past the greatest id. */
    vocab_size: z.number().int().positive(),
  }),
  bytes_per_id: z.union([z.literal(2), z.literal(4)]),
  sources: z.record(z.string().min(1), sourceSchema),
});

/** `dataset.json`: what a pipeline of training data published. Paths are relative to its directory. */
export type PublishedDataset = Readonly<z.infer<typeof datasetSchema>>;
export type PublishedSource = PublishedDataset["sources"][string];
export type PublishedShard = Readonly<z.infer<typeof shardSchema>>;
export type BytesPerId = PublishedDataset["bytes_per_id"];

const datasetFile = "dataset.json";

/** Whether a directory has the description of a dataset. */
export function isPublished(directory: string): boolean {
  try {
    const value: unknown = JSON.parse(readFileSync(join(directory, datasetFile), "utf8"));
    return typeof value === "object" && value !== null && "sources" in value;
  } catch {
    return false;
  }
}

/**
 * Writes `dataset.json`, after all shards. A reader sees the old or the new file.
 *
 * @throws LapidaryError LAP_DATA_DATASET if the counts do not add up
 */
export function writePublished(directory: string, dataset: PublishedDataset): void {
  checkSums(join(directory, datasetFile), dataset);
  mkdirSync(directory, { recursive: true });
  replaceFile(join(directory, datasetFile), `${JSON.stringify(datasetSchema.parse(dataset), null, 1)}\n`);
}

/**
 * Reads `dataset.json`. Opens no shard.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET
 */
export function readPublished(directory: string): PublishedDataset {
  const path = join(directory, datasetFile);
  const parsed = datasetSchema.safeParse(jsonOf(directory, path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw damagedDataset(path, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it has another form"}`);
  }
  checkSums(path, parsed.data);
  return parsed.data;
}

function jsonOf(directory: string, path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!isSystemError(error) || !["ENOENT", "ENOTDIR"].includes(error.code)) throw unreadable(path, error);
    throw new LapidaryError({
      code: "LAP_DATA_MISSING",
      message: `${directory} has no ${datasetFile}`,
      location: path,
      remedy: "name the directory `out` of a pipeline that `lapidary data run` has completed",
    });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw damagedDataset(path, `it is not JSON: ${error.message}`);
  }
}

function checkSums(path: string, { sources, tokenizer, bytes_per_id }: PublishedDataset): void {
  if (bytes_per_id !== bytesPerId(tokenizer.vocab_size))
    throw damagedDataset(path, `a vocabulary of ${tokenizer.vocab_size} ids has ${bytesPerId(tokenizer.vocab_size)} bytes an id`);
  for (const [name, { shards, documents, tokens }] of Object.entries(sources)) {
    const sum = (key: "token_count" | "document_count"): number => shards.reduce((total, shard) => total + shard[key], 0);
    if (sum("token_count") !== tokens) throw damagedDataset(path, `the shards of ${name} have ${sum("token_count")} tokens, not ${tokens}`);
    if (sum("document_count") !== documents)
      throw damagedDataset(path, `the shards of ${name} have ${sum("document_count")} documents, not ${documents}`);
  }
}

/** Bytes of an id in a shard of tokens. */
export const bytesPerId = (vocabSize: number): BytesPerId => (vocabSize <= 0x10000 ? 2 : 4);
