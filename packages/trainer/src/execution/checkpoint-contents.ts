import { join } from "node:path";
import { checkpointFilesOf, type ControlTokens, type TokenizerFiles } from "@lapidary/tokenizer";
import { HfCheckpoint, SafetensorsFile, modelConfigToHf, readFileTensor, readLayers } from "@lapidary/interop";
import type { Model } from "@lapidary/models";
import { ensure, LapidaryError } from "@lapidary/std";
import { paramName, stepName } from "@lapidary/training";
import type { CheckpointContent, CheckpointParts, VerifiedCheckpoint } from "@lapidary/checkpoint";
import { adapterConfig, rewardConfig, type CheckpointForm, modelOfForm, type WeightsFile, weightsFiles } from "./checkpoint-form.js";
import { dataDigestKey } from "./data-history.js";
import { checkpointFiles } from "./checkpoints.js";
import type { RunPrograms } from "./run-programs.js";

/** Files of a checkpoint, in addition to its manifest. */
export type CheckpointFiles = CheckpointContent["files"];

/**
 * The files that are the same in every checkpoint of a run: `config.json` or `adapter_config.json`, and the files of its tokenizer byte for byte.
 *
 * @param control tokens of the tokenizer, for `config.json`
 */
export function staticFiles(form: CheckpointForm, files: TokenizerFiles, control: ControlTokens): CheckpointFiles {
  return new Map([
    ...[...checkpointFilesOf(files)].map(([name, content]): [string, CheckpointParts] => [name, [[name, content]]]),
    configFile(form, control),
  ]);
}

function configFile(form: CheckpointForm, control: ControlTokens): [string, CheckpointParts] {
  if (form.kind === "adapter") return json("adapter_config.json", adapterConfig(form));
  const config = modelConfigToHf(form.config, control);
  return json("config.json", form.kind === "reward" ? rewardConfig(config) : config);
}

/**
 * A checkpoint of a state.
 *
 * @param state the files of weights and moments
 * @param constant `staticFiles` of the run
 * @param heldout further metrics of the evaluation of the state
 * @param dataDigest of the rows of the steps so far, if the run trains on a mixture
 */
export function checkpointOf(
  state: CheckpointFiles,
  constant: CheckpointFiles,
  about: CheckpointContent["about"],
  heldout?: Readonly<Record<string, number>>,
  dataDigest?: string,
): CheckpointContent {
  const { run, step, time, heldout_loss } = about;
  const evaluation = {
    ...(heldout_loss === undefined ? {} : { heldout_loss }),
    ...(heldout === undefined ? {} : { heldout_metrics: heldout }),
  };
  const stateInfo = { run, step, time, ...evaluation, ...(dataDigest === undefined ? {} : { [dataDigestKey]: dataDigest }) };
  return { about, files: new Map([...state, ...constant, json(checkpointFiles.state, stateInfo)]) };
}

/**
 * Loads the state of a checkpoint into a run, array by array. The arrays are whole, so that any mesh, ZeRO stage and number of workers can load them.
 *
 * @param updatesPerStep updates of the states in each step
 * @throws LAP_CHECKPOINT_STATE if the optimizer's state is not that of the run
 */
export async function loadState(
  programs: Pick<RunPrograms, "putState" | "moments">,
  form: CheckpointForm,
  { path, manifest }: VerifiedCheckpoint,
  updatesPerStep = 1,
): Promise<void> {
  const [policy, ...others] = weightsFiles(form);
  if (form.kind === "model") await loadModel(programs, modelOfForm(form), path);
  else await loadWeightsFile(programs, ensure(policy, "weights"), path);
  for (const file of others) await loadWeightsFile(programs, file, path);
  const moments = await SafetensorsFile.open(join(path, checkpointFiles.optimizer));
  try {
    checkMoments(moments, programs.moments);
    for (const { state, ...tensor } of programs.moments) await programs.putState(state, await readFileTensor(moments, tensor));
  } finally {
    await moments.close();
  }
  await programs.putState(stepName, { dtype: "f32", dims: [], data: Float32Array.of(manifest.step * updatesPerStep) });
}

async function loadModel(programs: Pick<RunPrograms, "putState">, { params }: Pick<Model, "params">, path: string): Promise<void> {
  const weights = await HfCheckpoint.open(path);
  try {
    for (const spec of params) await programs.putState(paramName(spec.name), await readLayers(spec, (name) => weights.readAsStored(name)));
  } finally {
    await weights.close();
  }
}

async function loadWeightsFile(programs: Pick<RunPrograms, "putState">, { name: file, tensors }: WeightsFile, path: string): Promise<void> {
  const weights = await SafetensorsFile.open(join(path, file));
  try {
    const names = tensors.flatMap(({ name, parts }) => parts ?? [name]);
    const missing = names.find((name) => !weights.names.includes(name));
    const unexpected = weights.names.find((name) => !names.includes(name));
    if (missing !== undefined || unexpected !== undefined)
      throw new LapidaryError({
        code: "LAP_CHECKPOINT_STATE",
        message: missing === undefined ? `the model of the run has no tensor ${unexpected}` : `the weights lack ${missing}`,
        location: `${weights.path}: tensor "${missing ?? unexpected}"`,
        remedy: "resume the run with the recipe and the settings of lora and rl that it started with",
      });
    for (const { state, ...tensor } of tensors) await programs.putState(state, await readFileTensor(weights, tensor));
  } finally {
    await weights.close();
  }
}

/** Checks that the file has the arrays of the optimizer, and no others. */
function checkMoments({ path, names }: SafetensorsFile, tensors: RunPrograms["moments"]): void {
  const wanted = tensors.flatMap(({ name, parts }) => parts ?? [name]);
  const missing = wanted.find((name) => !names.includes(name));
  const unexpected = names.find((name) => !wanted.includes(name));
  if (missing === undefined && unexpected === undefined) return;
  throw new LapidaryError({
    code: "LAP_CHECKPOINT_STATE",
    message: missing === undefined ? `the optimizer of the run has no tensor ${unexpected}` : `the state of the optimizer lacks ${missing}`,
    location: `${path}: tensor "${missing ?? unexpected}"`,
    remedy: "resume the run with the optimizer that it started with, or launch a new job with train.init, which takes the weights alone",
  });
}

const json = (name: string, content: object): [string, CheckpointParts] => [
  name,
  [[name, Buffer.from(`${JSON.stringify(content, null, 2)}\n`, "utf8")]],
];
