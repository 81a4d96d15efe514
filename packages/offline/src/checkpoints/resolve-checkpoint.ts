import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { noConfig, notACheckpoint } from "@lapidary/interop";
import { LapidaryError, suggest } from "@lapidary/std";
import type { Directories } from "../directories.js";
import { hasEnded, isRunName, runDirectory, runNames } from "../runs/runs.js";

/** A checkpoint on disk. */
export interface CheckpointLocation {
  readonly directory: string;
  /** The run that wrote the checkpoint; absent for a directory that the user named. */
  readonly run?: string;
  readonly step?: number;
}

/**
 * Resolves a word to a checkpoint: a directory with the configuration of a model or an adapter, or the last checkpoint of a run. It reads only the disk,
 * so no coordinator is needed.
 *
 * @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if nothing exists; LAP_CHECKPOINT_FORM, which names the files that exist instead of a checkpoint
 */
export async function resolveCheckpoint({ cwd, home }: Pick<Directories, "home" | "cwd">, from: string): Promise<CheckpointLocation> {
  const path = resolve(cwd, from);
  if (hasConfig(path)) return { directory: path };
  const last = isRunName(from) ? runCheckpoints(home, from).at(-1) : undefined;
  if (last !== undefined) return last;
  if (isRunName(from) && existsSync(runDirectory(home, from)))
    throw notFound(`run ${from} has no checkpoint`, runDirectory(home, from), noCheckpointRemedy(home, from));
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    const error = await notACheckpoint(path, noConfig, "LAP_CHECKPOINT_NOT_FOUND");
    throw error.code === "LAP_CHECKPOINT_NOT_FOUND" ? notFound(error.message, path, error.remedy) : error;
  }
  const near = suggest(from, runNames(home));
  throw notFound(
    "no run or directory has this name",
    from,
    near === undefined ? "`lapidary ckpt list` lists the checkpoints of all runs" : `did you mean "${near}"?`,
  );
}

/** A run that has ended writes no more checkpoints. */
const noCheckpointRemedy = (home: string, run: string): string =>
  hasEnded(runDirectory(home, run))
    ? `the run ended before its first checkpoint: \`lapidary jobs get ${run}\` shows the reason; launch it again with a smaller checkpoint.every, or name another run`
    : "wait for its first checkpoint (checkpoint.every), or name another run";

/**
 * @param others further names that a user may mean, for the suggestion
 * @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if no run has this name
 */
export function knownRun(home: string, run: string, others: readonly string[] = []): string {
  if (isRunName(run) && existsSync(runDirectory(home, run))) return run;
  const near = suggest(run, [...runNames(home), ...others]);
  throw notFound("run not found", run, near === undefined ? "`lapidary jobs` lists all runs" : `did you mean "${near}"?`);
}

/** Whether a directory has a whole model, or an adapter, which is read with the weights under it. */
const hasConfig = (directory: string): boolean => ["config.json", "adapter_config.json"].some((name) => existsSync(join(directory, name)));

/** The complete checkpoints of a run, oldest first. */
export const runCheckpoints = (home: string, run: string): Required<CheckpointLocation>[] =>
  stepDirectories(home, run).filter(({ directory }) => hasConfig(directory));

function stepDirectories(home: string, run: string): Required<CheckpointLocation>[] {
  const checkpoints = join(runDirectory(home, run), "checkpoints");
  if (!existsSync(checkpoints)) return [];
  return readdirSync(checkpoints)
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name)?.[1];
      return step === undefined ? [] : [{ directory: join(checkpoints, name), run, step: Number(step) }];
    })
    .sort((a, b) => a.step - b.step);
}

const notFound = (message: string, location: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_NOT_FOUND", message, location, remedy });
