import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { noConfig, notACheckpoint } from "@lapidary/interop";
import { LapidaryError, suggest } from "@lapidary/std";
import type { Context } from "../context.js";
import { hasEnded } from "../report/has-ended.js";

/** A checkpoint on disk. */
export interface CheckpointLocation {
  readonly directory: string;
  /** The run that made it; absent for a directory that the user named. */
  readonly run?: string;
  readonly step?: number;
}

/**
 * Resolves a word to a checkpoint: a directory with a `config.json`, or the last checkpoint of a run. It reads only the disk, so no
 * coordinator is needed.
 *
 * @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if nothing exists; LAP_CHECKPOINT_FORM, which names the files that exist instead of a checkpoint
 */
export async function resolveCheckpoint(context: Pick<Context, "home" | "cwd">, from: string): Promise<CheckpointLocation> {
  const path = resolve(context.cwd, from);
  if (existsSync(join(path, "config.json"))) return { directory: path };
  const last = isRunName(from) ? runCheckpoints(context.home, from).at(-1) : undefined;
  if (last !== undefined) return last;
  if (isRunName(from) && existsSync(runDirectory(context.home, from)))
    throw notFound(`run ${from} has no checkpoint`, runDirectory(context.home, from), noCheckpointRemedy(context.home, from));
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    const error = await notACheckpoint(path, noConfig, "LAP_CHECKPOINT_NOT_FOUND");
    throw error.code === "LAP_CHECKPOINT_NOT_FOUND" ? notFound(error.message, path, error.remedy) : error;
  }
  const near = suggest(from, runNames(context.home));
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

/** @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if no run has this name */
export function knownRun(home: string, run: string): string {
  if (isRunName(run) && existsSync(runDirectory(home, run))) return run;
  const near = suggest(run, runNames(home));
  throw notFound("run not found", run, near === undefined ? "`lapidary jobs` lists all runs" : `did you mean "${near}"?`);
}

/** The complete checkpoints of a run, oldest first. */
export function runCheckpoints(home: string, run: string): CheckpointLocation[] {
  const directory = join(runDirectory(home, run), "checkpoints");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name)?.[1];
      const path = join(directory, name);
      return step !== undefined && existsSync(join(path, "config.json")) ? [{ directory: path, run, step: Number(step) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/** Names of all runs, the oldest first. */
export function runNames(home: string): string[] {
  const directory = join(home, "runs");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => isRunName(name) && statSync(join(directory, name)).isDirectory())
    .sort((a, b) => statSync(join(directory, a)).birthtimeMs - statSync(join(directory, b)).birthtimeMs);
}

const runDirectory = (home: string, run: string): string => join(home, "runs", run);

/** The names that the coordinator gives to runs. None leads out of the directory of runs. */
const isRunName = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text);

const notFound = (message: string, place: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_NOT_FOUND", message, place, remedy });
