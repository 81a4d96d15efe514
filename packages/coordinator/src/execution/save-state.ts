import { join } from "node:path";
import { type Tokenizer, toHuggingFace } from "@lapidary/data";
import { type ArrayData, HfCheckpoint, SafetensorsFile, modelConfigToHf, safetensorsParts } from "@lapidary/interop";
import { type ModelConfig, paramsOf } from "@lapidary/models";
import { assert, must } from "@lapidary/std";
import { paramName, stepName } from "@lapidary/training";
import type { ArrayData as DeviceArray } from "@lapidary/worker/protocol";
import type { CheckpointContent, CheckpointParts, VerifiedCheckpoint } from "../checkpoints/checkpoint-store.js";
import { checkpointFiles } from "./checkpoints.js";
import type { RunPrograms } from "./run-programs.js";

/** What a checkpoint says beside the numbers. */
export interface Surroundings {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly about: CheckpointContent["about"];
}

/**
 * Copies the state of a run out of its workers, and says how it is laid down as files: those that transformers loads, and beside them what training needs to
 * go on. Resolves when the workers may go on.
 */
export async function copyState(
  programs: Pick<RunPrograms, "weights" | "moments" | "fetchWeight" | "fetchMoment">,
  { config, tokenizer, about }: Surroundings,
): Promise<CheckpointContent> {
  // All are asked for at once: what is fetched is one state.
  const [weights, moments] = await Promise.all([
    readAll(programs.weights, (name) => programs.fetchWeight(name)),
    readAll(programs.moments, (name) => programs.fetchMoment(name)),
  ]);
  const ordered = new Map(paramsOf(config).map(({ name }) => [name, must(weights.get(name), name)]));
  const { run, step, time, heldout_loss } = about;
  const state = { run, step, time, ...(heldout_loss === undefined ? {} : { heldout_loss }) };
  return {
    about,
    files: new Map<string, CheckpointParts>([
      ["model.safetensors", namedParts(ordered, { format: "pt" })],
      [checkpointFiles.optimizer, namedParts(moments)],
      ...Object.entries(toHuggingFace(tokenizer)).map(([name, json]): [string, CheckpointParts] => [
        name,
        text(name, JSON.stringify(json)),
      ]),
      [checkpointFiles.tokenizer, text(checkpointFiles.tokenizer, JSON.stringify(tokenizer))],
      ["config.json", text("config.json", `${JSON.stringify(modelConfigToHf(config), null, 2)}\n`)],
      [checkpointFiles.state, text(checkpointFiles.state, `${JSON.stringify(state, null, 2)}\n`)],
    ]),
  };
}

/**
 * Gives a run the state that a checkpoint of it holds, array by array: whole arrays, so that any mesh, ZeRO stage and number of workers may take them.
 */
export async function loadState(programs: Pick<RunPrograms, "putState">, { path, manifest }: VerifiedCheckpoint): Promise<void> {
  const weights = await HfCheckpoint.open(path);
  try {
    for (const { name } of weights.params) await programs.putState(paramName(name), await weights.read(name));
  } finally {
    await weights.close();
  }
  const moments = await SafetensorsFile.open(join(path, checkpointFiles.optimizer));
  try {
    for (const name of moments.names) await programs.putState(name, await moments.read(name));
  } finally {
    await moments.close();
  }
  await programs.putState(stepName, { dtype: "f32", dims: [], data: Float32Array.of(manifest.step) });
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

/** A safetensors file as its header and its tensors, so that damage can be told by the tensor. */
function* namedParts(
  arrays: ReadonlyMap<string, ArrayData>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<[string, Uint8Array]> {
  const names = ["length of the header", "header", ...arrays.keys()];
  let at = 0;
  for (const bytes of safetensorsParts(arrays, metadata)) yield [must(names[at++], "part"), bytes];
}

const text = (name: string, content: string): CheckpointParts => [[name, Buffer.from(content, "utf8")]];
