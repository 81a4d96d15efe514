import { join } from "node:path";
import { firstIssue } from "@lapidary/tokenizer";
import { z } from "zod";
import { badDataset } from "../data-errors.js";
import { controlSchema, manifestFile, readManifestJson, splitSchema } from "../dataset/manifest.js";

const count = z.number().int().nonnegative();
const part = z.strictObject({ documents: count, tokens: count });

/** A shard of a source. Its first documents are held out. Paths are relative to the directory of the pipeline. */
const shardSchema = z.strictObject({ tokens: z.string(), documents: z.string(), heldout: part, train: part });

const sourceSchema = z.strictObject({
  name: z.string(),
  licence: z.string(),
  heldout: part,
  train: part,
  shards: z.array(shardSchema),
});

/** The schema of `dataset.json` of a mixture. It has no tokens: those are in the directory of the pipeline. */
const mixtureManifestSchema = z.strictObject({
  format: z.literal("lapidary-mixture"),
  version: z.literal(1),
  /** The key of the request, which is the name of the directory. */
  key: z.string(),
  /** SHA-256 of the tokenizer and of the digests of all shards. */
  contentHash: z.string(),
  /** The directory of the pipeline. */
  corpus: z.string(),
  vocabSize: z.number().int().positive(),
  /** SHA-256 of the files of the tokenizer. */
  tokenizerHash: z.string(),
  control: controlSchema,
  bytesPerToken: z.union([z.literal(2), z.literal(4)]),
  /** Of all sources together. */
  splits: z.strictObject({ train: splitSchema, heldout: splitSchema }),
  /** Loss of a unigram model of the training tokens on the held-out tokens, nats per token, from a sample of both. */
  unigramNats: z.number().nonnegative(),
  leftOut: z.record(z.string(), count),
  seed: z.number().int(),
  steps: count,
  batch: count,
  seq: count,
  heldOutFraction: z.number(),
  /** Weights by step. */
  stages: z.array(z.strictObject({ from: count, ramp: count, weights: z.record(z.string(), z.number()) })),
  /** The share of each source in the rows of the run, in the order of the sources. The held-out losses are weighted by it. */
  shares: z.array(z.number()),
  sources: z.array(sourceSchema),
});

export type MixtureManifest = Readonly<z.infer<typeof mixtureManifestSchema>>;
export type MixtureSource = MixtureManifest["sources"][number];

/** Whether a manifest is that of a mixture. */
export const hasMixture = (json: unknown): boolean =>
  typeof json === "object" && json !== null && "format" in json && json.format === "lapidary-mixture";

/** @throws LapidaryError `LAP_DATA_DATASET` */
export const readMixtureManifest = (directory: string): MixtureManifest => parseMixtureManifest(directory, readManifestJson(directory));

/** @throws LapidaryError `LAP_DATA_DATASET` */
export function parseMixtureManifest(directory: string, json: unknown): MixtureManifest {
  const parsed = mixtureManifestSchema.safeParse(json);
  if (!parsed.success) throw badDataset(join(directory, manifestFile), firstIssue(parsed.error));
  return parsed.data;
}
