import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { MixtureDataset } from "@lapidary/data";
import { LapidaryError } from "@lapidary/std";
import { runFiles } from "@lapidary/telemetry";
import { openRunMixture } from "@lapidary/trainer/data-history";
import { trainsOnPipeline } from "@lapidary/training";
import { knownRun } from "../checkpoints/resolve-checkpoint.js";
import type { Directories } from "../directories.js";
import { readJobFile } from "../job/job-file.js";
import { runDirectory } from "../runs/runs.js";

/**
 * The rows that a run trains on, checked against its newest checkpoint. The caller closes the dataset.
 *
 * @throws LapidaryError LAP_DATA_NO_SOURCES, LAP_MIXTURE_HISTORY, LAP_DATA_…
 */
export async function openRunData(
  directories: Directories,
  run: string,
): Promise<{ readonly dataset: MixtureDataset; readonly directory: string }> {
  const { home } = directories;
  const directory = runDirectory(home, knownRun(home, run));
  const { job } = readJobFile(directories, run, resumeOverrides(directory));
  if (!trainsOnPipeline(job))
    throw new LapidaryError({
      code: "LAP_DATA_NO_SOURCES",
      message: `${run} does not train on the sources of a pipeline`,
      location: join(directory, "job.json"),
      remedy: "name a run whose job has data.pipeline",
    });
  const dataset = await openRunMixture({ directory }, job, { cacheDir: join(home, "cache/datasets") });
  return { dataset, directory };
}

/** The overrides of all resumes of a run. */
function resumeOverrides(directory: string): string[] {
  const path = join(directory, runFiles.resume);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as { overrides: string[] }).overrides : [];
}
