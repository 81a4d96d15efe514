import { z } from "zod";
import { commonFields, hasFormat, parseManifest, readManifestJson, splitSchema } from "../dataset/manifest.js";

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
  ...commonFields,
  /** Of all sources together. */
  splits: z.strictObject({ train: splitSchema, heldout: splitSchema }),
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
export const hasMixture = (json: unknown): boolean => hasFormat(json, "lapidary-mixture");

/** @throws LapidaryError `LAP_DATA_DATASET` */
export const readMixtureManifest = (directory: string): MixtureManifest => parseMixtureManifest(directory, readManifestJson(directory));

/** @throws LapidaryError `LAP_DATA_DATASET` */
export const parseMixtureManifest = (directory: string, json: unknown): MixtureManifest =>
  parseManifest(mixtureManifestSchema, directory, json);
