import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type MixtureDataset, type PrepareWork, prepareMixture } from "@lapidary/data";
import { LapidaryError } from "@lapidary/std";
import { type Run, runFiles } from "@lapidary/telemetry";
import { mixtureRequestOf, type PipelineRows } from "@lapidary/training";
import { checkpointFiles, listCheckpoints } from "./checkpoints.js";

/** The key of `train_state.json` with the digest of the rows that the steps of the checkpoint had. */
export const dataDigestKey = "data_digest";

/**
 * The dataset of a run over the sources of a pipeline. Steps that the run has trained keep their rows. The caller closes it.
 *
 * @throws LapidaryError LAP_MIXTURE_HISTORY, LAP_DATA_…
 */
export async function openRunMixture(run: Pick<Run, "directory">, job: PipelineRows, work: PrepareWork): Promise<MixtureDataset> {
  const dataset = await prepareMixture(mixtureRequestOf(job), work);
  try {
    await checkDataHistory(run, dataset);
    return dataset;
  } catch (error) {
    dataset.close();
    throw error;
  }
}

/**
 * Compares the rows of the steps that a run has trained with those of a dataset: its newest checkpoint has their digest.
 *
 * @throws LapidaryError LAP_MIXTURE_HISTORY
 */
async function checkDataHistory({ directory }: Pick<Run, "directory">, dataset: Pick<MixtureDataset, "digest">): Promise<void> {
  const newest = (await listCheckpoints(join(directory, runFiles.checkpoints))).at(-1);
  if (newest === undefined || newest.step === 0) return;
  const path = join(newest.path, checkpointFiles.state);
  const state: unknown = JSON.parse(readFileSync(path, "utf8"));
  const digest =
    typeof state === "object" && state !== null ? Object.entries(state).find(([key]) => key === dataDigestKey)?.[1] : undefined;
  if (digest === undefined || digest === dataset.digest(newest.step)) return;
  throw new LapidaryError({
    code: "LAP_MIXTURE_HISTORY",
    message: `the first ${newest.step} steps of the run had other rows than the job gives them now: a source, a stage that has begun, or the length of the run has changed`,
    location: path,
  });
}
