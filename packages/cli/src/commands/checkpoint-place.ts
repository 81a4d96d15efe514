import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { noConfig, notACheckpoint } from "@lapidary/interop";
import { LapidaryError, suggest } from "@lapidary/std";
import type { Context } from "../context.js";
import { hasEnded } from "../report/has-ended.js";

/** A checkpoint on disk. */
export interface CheckpointPlace {
  readonly directory: string;
  /** The run that made it; absent for a directory that the user named. */
  readonly run?: string;
  readonly step?: number;
}

/**
 * The checkpoint that a word means: a directory with a `config.json`, or the last checkpoint of a run. It is looked up on disk, so
 * that nothing needs to be up.
 *
 * @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if nothing is there; LAP_CHECKPOINT_FORM, which names what is there in place of a checkpoint
 */
export async function findCheckpoint(context: Pick<Context, "home" | "cwd">, from: string): Promise<CheckpointPlace> {
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
    "there is neither such a run nor such a directory",
    from,
    near === undefined ? "`lapidary ckpt list` lists the checkpoints of all runs" : `did you mean "${near}"?`,
  );
}

/** A run that has ended writes none any more. */
const noCheckpointRemedy = (home: string, run: string): string =>
  hasEnded(runDirectory(home, run))
    ? `it ended before it wrote one: \`lapidary jobs get ${run}\` says why; launch it again with a smaller checkpoint.every, or name another run`
    : "wait until it writes one, as checkpoint.every says, or name another run";

/** @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) when there is no run of this name */
export function knownRun(home: string, run: string): string {
  if (isRunName(run) && existsSync(runDirectory(home, run))) return run;
  const near = suggest(run, runNames(home));
  throw notFound("there is no such run", run, near === undefined ? "`lapidary jobs` lists all runs" : `did you mean "${near}"?`);
}

/** The checkpoints of a run that are whole, oldest first. */
export function runCheckpoints(home: string, run: string): CheckpointPlace[] {
  const directory = join(runDirectory(home, run), "checkpoints");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name)?.[1];
      const place = join(directory, name);
      return step !== undefined && existsSync(join(place, "config.json")) ? [{ directory: place, run, step: Number(step) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/** Names of all runs, those begun first at the front. */
export function runNames(home: string): string[] {
  const directory = join(home, "runs");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => isRunName(name) && statSync(join(directory, name)).isDirectory())
    .sort((a, b) => statSync(join(directory, a)).birthtimeMs - statSync(join(directory, b)).birthtimeMs);
}

const runDirectory = (home: string, run: string): string => join(home, "runs", run);

/** As the coordinator names runs; nothing that leads out of the directory of runs. */
const isRunName = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text);

const notFound = (message: string, place: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_CHECKPOINT_NOT_FOUND", message, place, remedy });
