import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { MeanAndStd } from "@lapidary/evaluation";
import { type ArrayData, HfCheckpoint, readAdapterHead, readFileTensor, readHfConfig, SafetensorsFile } from "@lapidary/interop";
import { buildModel, type ModelConfig, storedTensors } from "@lapidary/models";
import { scoreHead, scoreParams } from "@lapidary/post-training";
import { LapidaryError } from "@lapidary/std";
import { checkSameModel } from "@lapidary/training";
import { checkpointFiles } from "../execution/checkpoints.js";
import type { ParameterSet } from "./program-host.js";

/**
 * Reads the weights of a reward model: those of the trunk, and `score.weight`. An adapter is merged into its trunk.
 *
 * @throws LAP_CHECKPOINT_STATE for a checkpoint without `score.weight`; LAP_INIT_MISMATCH for another model
 */
export async function readRewardModel(directory: string, config: ModelConfig): Promise<ReadonlyMap<string, ArrayData>> {
  const head = await readAdapterHead(directory);
  return head === undefined ? readWhole(directory, config) : readMerged(directory, config, head);
}

async function readMerged(directory: string, config: ModelConfig, head: ArrayData): Promise<ReadonlyMap<string, ArrayData>> {
  const trunk = await HfCheckpoint.open(directory);
  try {
    checkSameModel(directory, config, trunk.config);
    const weights = new Map<string, ArrayData>();
    for (const { name } of trunk.params) weights.set(name, await trunk.read(name));
    return weights.set(scoreHead(buildModel(config)).name, head);
  } finally {
    await trunk.close();
  }
}

async function readWhole(directory: string, config: ModelConfig): Promise<ReadonlyMap<string, ArrayData>> {
  checkSameModel(directory, config, await readHfConfig(join(directory, "config.json")));
  const file = await SafetensorsFile.open(join(directory, "model.safetensors"));
  try {
    const weights = new Map<string, ArrayData>();
    for (const spec of scoreParams(buildModel(config))) {
      const missing = storedTensors(spec).find(({ name }) => !file.names.includes(name))?.name;
      if (missing !== undefined)
        throw new LapidaryError({
          code: "LAP_CHECKPOINT_STATE",
          message: `the checkpoint is not a reward model: it lacks ${missing}`,
          location: directory,
          remedy: "name a run of the recipe reward in reward",
        });
      weights.set(spec.name, await readFileTensor(file, spec));
    }
    return weights;
  } finally {
    await file.close();
  }
}

/** The scores that reward models gave their own held-out answers, by parameter set. Reward models of other programs have none. */
export function readScoreStatistics(models: ReadonlyMap<ParameterSet, string>): ReadonlyMap<ParameterSet, MeanAndStd> {
  return new Map(
    [...models].flatMap(([set, directory]) => {
      const known = statisticsOf(join(directory, checkpointFiles.state));
      return known === undefined ? [] : [[set, known] as const];
    }),
  );
}

function statisticsOf(path: string): MeanAndStd | undefined {
  let state: { readonly heldout_metrics?: { readonly score_mean?: unknown; readonly score_std?: unknown } } | null;
  try {
    state = JSON.parse(readFileSync(path, "utf8")) as typeof state;
  } catch {
    // The guard that uses the statistics needs no file.
    return undefined;
  }
  const { score_mean: mean, score_std: std } = state?.heldout_metrics ?? {};
  return typeof mean === "number" && typeof std === "number" ? { mean, std } : undefined;
}
