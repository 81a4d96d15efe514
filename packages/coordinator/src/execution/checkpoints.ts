import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Tokenizer, toHuggingFace } from "@lapidary/data";
import { type ArrayData, HfCheckpoint, writeFileAtomic, writeHfCheckpoint, writeSafetensors } from "@lapidary/interop";
import type { GemmaConfig } from "@lapidary/models";
import { assert, ExitCode, LapidaryError, must } from "@lapidary/std";
import type { ArrayData as DeviceArray } from "@lapidary/worker/protocol";
import { z } from "zod";
import type { CheckpointEntry } from "../api.js";
import type { RunPrograms } from "./run-programs.js";

/**
 * A checkpoint is a directory that transformers loads, and what training needs to go on from it besides:
 *
 *     step-100/  model.safetensors  config.json                    weights, by Hugging Face name
 *                tokenizer.json  tokenizer_config.json  …          for transformers
 *                lapidary_tokenizer.json                           the tokenizer as we keep it
 *                optimizer.safetensors                             moments, `adam_m/…`, `adam_v/…`
 *                train_state.json                                  step, losses; written last
 */
export const checkpointFiles = {
  optimizer: "optimizer.safetensors",
  tokenizer: "lapidary_tokenizer.json",
  state: "train_state.json",
} as const;

const trainStateSchema = z.object({ run: z.string(), step: z.number().int(), time: z.number(), heldout_loss: z.number().optional() });
export type TrainState = z.infer<typeof trainStateSchema>;

export interface WriteCheckpointOptions {
  /** `checkpoints` of the run. */
  readonly directory: string;
  readonly programs: Pick<RunPrograms, "weights" | "moments" | "fetchWeight" | "fetchMoment">;
  readonly config: GemmaConfig;
  readonly tokenizer: Tokenizer;
  readonly state: TrainState;
  /** Newest checkpoints that stay. */
  readonly keep: number;
}

/** Writes a checkpoint beside its place and moves it there in one step, then removes the oldest. @returns its path */
export async function writeCheckpoint(options: WriteCheckpointOptions): Promise<string> {
  const { directory, programs, config, tokenizer, state, keep } = options;
  const place = join(directory, `step-${state.step}`);
  const draft = join(directory, `.writing-${state.step}`);
  await rm(draft, { recursive: true, force: true });
  // All are asked for at once: what is fetched is one state, though more steps may be asked for meanwhile.
  const [weights, moments] = await Promise.all([
    readAll(programs.weights, (name) => programs.fetchWeight(name)),
    readAll(programs.moments, (name) => programs.fetchMoment(name)),
  ]);
  const texts = Object.entries(toHuggingFace(tokenizer)).map(([name, json]) => [name, JSON.stringify(json)] as const);
  try {
    await writeHfCheckpoint(draft, config, weights, new Map([...texts, [checkpointFiles.tokenizer, JSON.stringify(tokenizer)]]));
    await writeSafetensors(join(draft, checkpointFiles.optimizer), moments);
    await writeFileAtomic(join(draft, checkpointFiles.state), [Buffer.from(`${JSON.stringify(state, null, 2)}\n`)]);
    await rm(place, { recursive: true, force: true });
    await rename(draft, place);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw asWriteError(place, error);
  }
  for (const { path } of (await listCheckpoints(directory)).slice(0, -keep)) await rm(path, { recursive: true, force: true });
  return place;
}

/** What the disk refuses is no mistake of ours. */
function asWriteError(place: string, cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (syscall === undefined) return cause;
  return new LapidaryError({
    code: "LAP_CHECKPOINT_WRITE",
    message: `the checkpoint cannot be written: ${code ?? syscall}`,
    place,
    remedy: "free disk space, or check that the home directory can be written; earlier checkpoints are whole",
    exit: ExitCode.jobFailed,
    cause,
  });
}

async function readAll(names: readonly string[], read: (name: string) => Promise<DeviceArray>): Promise<Map<string, ArrayData>> {
  const arrays = await Promise.all(names.map(read));
  return new Map(names.map((name, i) => [name, asFileArray(must(arrays[i], name))]));
}

/** What workers hold may be of more dtypes than files; states are f32. */
function asFileArray({ dims, data }: DeviceArray): ArrayData {
  assert(data instanceof Float32Array, "states are f32", dims);
  return { dtype: "f32", dims, data };
}

/** Whole checkpoints of a run, oldest first. */
export async function listCheckpoints(directory: string): Promise<CheckpointEntry[]> {
  if (!existsSync(directory)) return [];
  const steps = (await readdir(directory)).filter((name) => /^step-\d+$/.test(name));
  const entries = await Promise.all(steps.map((name) => readEntry(join(directory, name))));
  return entries.filter((entry) => entry !== undefined).sort((a, b) => a.step - b.step);
}

async function readEntry(path: string): Promise<CheckpointEntry | undefined> {
  try {
    const { step, time, heldout_loss } = trainStateSchema.parse(JSON.parse(await readFile(join(path, checkpointFiles.state), "utf8")));
    const sizes = await Promise.all((await readdir(path)).map(async (name) => (await stat(join(path, name))).size));
    return { step, path, time, bytes: sizes.reduce((a, b) => a + b, 0), ...(heldout_loss === undefined ? {} : { heldout_loss }) };
  } catch {
    // Being removed just now, or damaged: no checkpoint.
    return undefined;
  }
}

/**
 * Gives a run the weights of a Hugging Face checkpoint, array by array. Its optimizer starts anew.
 *
 * @throws LAP_CHECKPOINT_… whatever is wrong with it; LAP_INIT_MISMATCH when it is of another model
 */
export async function loadWeights(
  directory: string,
  config: GemmaConfig,
  put: (name: string, array: ArrayData) => Promise<void>,
): Promise<void> {
  const checkpoint = await HfCheckpoint.open(directory);
  try {
    checkSameModel(directory, config, checkpoint.config);
    for (const { name } of checkpoint.params) await put(name, await checkpoint.read(name));
  } finally {
    await checkpoint.close();
  }
}

/** The context may be another: no weight depends on it. */
function checkSameModel(directory: string, wanted: GemmaConfig, found: GemmaConfig): void {
  for (const key of ["vocabSize", "modelDim", "layers", "heads", "kvHeads", "headDim", "mlpDim", "ropeTheta", "normEps"] as const) {
    if (wanted[key] === found[key]) continue;
    throw new LapidaryError({
      code: "LAP_INIT_MISMATCH",
      message: `the checkpoint is of another model: its ${key} is ${found[key]}, the job's is ${wanted[key]}`,
      place: `train.init: ${directory}`,
      remedy: "choose the model of the checkpoint, or another checkpoint",
      exit: ExitCode.usage,
    });
  }
}
