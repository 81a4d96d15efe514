import { join } from "node:path";
import { checkpointFilesOf, type ControlTokens, type TokenizerFiles } from "@lapidary/data";
import { HfCheckpoint, SafetensorsFile, modelConfigToHf } from "@lapidary/interop";
import type { ModelConfig } from "@lapidary/models";
import { paramName, stepName } from "@lapidary/training";
import type { CheckpointContent, CheckpointParts, VerifiedCheckpoint } from "../checkpoints/checkpoint-store.js";
import { checkpointFiles } from "./checkpoints.js";
import type { RunPrograms } from "./run-programs.js";

/** Files of a checkpoint, beside its manifest. */
export type CheckpointFiles = CheckpointContent["files"];

/**
 * The files that are the same in every checkpoint of a run: `config.json`, and the files of its tokenizer byte for byte.
 *
 * @param control of the tokenizer, for `config.json`
 */
export function constantFiles(config: ModelConfig, files: TokenizerFiles, control: ControlTokens): CheckpointFiles {
  return new Map([
    ...[...checkpointFilesOf(files)].map(([name, content]): [string, CheckpointParts] => [name, [[name, content]]]),
    text("config.json", `${JSON.stringify(modelConfigToHf(config, control), null, 2)}\n`),
  ]);
}

/**
 * A checkpoint of a state.
 *
 * @param state the files of weights and moments
 * @param constant `constantFiles` of the run
 */
export function checkpointOf(state: CheckpointFiles, constant: CheckpointFiles, about: CheckpointContent["about"]): CheckpointContent {
  const { run, step, time, heldout_loss } = about;
  const said = { run, step, time, ...(heldout_loss === undefined ? {} : { heldout_loss }) };
  return { about, files: new Map([...state, ...constant, text(checkpointFiles.state, `${JSON.stringify(said, null, 2)}\n`)]) };
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

const text = (name: string, content: string): [string, CheckpointParts] => [name, [[name, Buffer.from(content, "utf8")]]];
