import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { readPublished, type Stage } from "@lapidary/mixture";
import { asJson, canonicalJson } from "@lapidary/std";
import { manifestFile } from "../dataset/manifest.js";

/** The inputs that determine the rows of a run over a mixture. */
export interface MixtureRequest {
  /** The directory that a pipeline of training data published. */
  readonly pipeline: string;
  /** Weights by step. Absent: in proportion to the tokens of each source. */
  readonly stages?: readonly Stage[] | undefined;
  readonly seed: number;
  readonly steps: number;
  readonly batch: number;
  readonly seq: number;
  /** How often sources may be read: all, or by name. Sources without a number are read once. */
  readonly repeat: number | Readonly<Record<string, number>>;
  readonly heldOutFraction: number;
}

/** Part of every key. Increase it if a change of the code changes the rows of a request. */
const codeVersion = 2;

/**
 * The name of the dataset of a request: a hash of the settings and of the description of the dataset, which has the digests of all shards.
 *
 * @throws LapidaryError LAP_DATA_MISSING, LAP_DATA_DATASET
 */
export function mixtureKey(request: MixtureRequest): string {
  readPublished(request.pipeline);
  const path = realpathSync.native(request.pipeline);
  const published = createHash("sha256")
    .update(readFileSync(join(path, manifestFile)))
    .digest("hex");
  const stages = request.stages?.map(({ from, ramp = 0, weights }) => ({ from, ramp, weights: { ...weights } })) ?? null;
  const { pipeline: _, stages: __, ...settings } = request;
  const canonical = canonicalJson(asJson({ codeVersion, path, published, stages, settings: { ...settings } }));
  return createHash("sha256").update(canonical).digest("hex").slice(0, 32);
}
