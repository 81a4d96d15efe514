import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { ExitCode, LapidaryError, formatBytes, formatCount, textTable, counted } from "@lapidary/std";
import { buildModel, isDecoder, type ModelConfig, parameterCount } from "@lapidary/models";
import { tokenizerFileNames } from "@lapidary/tokenizer";
import {
  type ArrayData,
  type CheckDepth,
  checkFinite,
  checkOptimizerState,
  HfCheckpoint,
  readBackHfCheckpoint,
  readControlIds,
  SafetensorsFile,
  writeDirectoryAtomic,
  writeHfCheckpoint,
} from "@lapidary/interop";
import { manifestName, nodeDisk, verifyCheckpoint as verifySealed } from "@lapidary/checkpoint";
import type { Context } from "../context.js";
import { checkOutput, writeOutputDirectory } from "../output/output.js";
import { type CheckpointLocation, knownRun, resolveCheckpoint, runCheckpoints, runNames } from "./resolve-checkpoint.js";

/** The checkpoints of a run, or of all runs. */
export async function listCheckpoints(context: Context, run: string | undefined): Promise<ExitCode> {
  const { console, home } = context;
  const runs = run === undefined ? runNames(home) : [knownRun(home, run)];
  const places = runs.flatMap((name) => runCheckpoints(home, name));
  const checkpoints = places.map(({ directory, run: name, step }) => ({
    run: name,
    step,
    path: directory,
    bytes: weightBytes(directory),
    time: statSync(directory).mtimeMs,
  }));
  const rows = checkpoints.map(({ run: name, step, bytes, time, path }) => [
    name ?? "",
    String(step),
    formatBytes(bytes),
    new Date(time).toISOString().slice(0, 19).replace("T", " "),
    path,
  ]);
  const columns = [
    { title: "run" },
    { title: "step", align: "right" },
    { title: "weights", align: "right" },
    { title: "written (UTC)" },
    { title: "directory" },
  ] as const;
  console.result({ checkpoints }, () => (rows.length === 0 ? "no checkpoints yet" : textTable(columns, rows)));
  return ExitCode.done;
}

const weightBytes = (directory: string): number => statSync(join(directory, "model.safetensors"), { throwIfNoEntry: false })?.size ?? 0;

/** The tensors of a checkpoint, from its headers; of what should be redundant, the beginning is compared. */
export async function inspectCheckpoint(context: Context, from: string): Promise<ExitCode> {
  const location = await resolveCheckpoint(context, from);
  const checkpoint = await openCheckpoint(context, location, "headers");
  try {
    const { config, params, redundant, warnings } = checkpoint;
    const notRead = await checkpoint.unreadWeightFiles();
    const tensors = params.map(({ name, dims }) => ({ name, dims, parameters: dims.reduce((a, b) => a * b, 1) }));
    const rows = tensors.map(({ name, dims, parameters }) => [name, dims.join(" × "), formatCount(parameters)]);
    const value = {
      directory: location.directory,
      run: location.run ?? null,
      step: location.step ?? null,
      config,
      parameters: parameterCount(buildModel(config)),
      tensors,
      redundant,
      not_read: notRead,
      warnings,
    };
    context.console.result(value, () =>
      [
        describe(location, config),
        "",
        textTable([{ title: "tensor" }, { title: "dims" }, { title: "parameters", align: "right" }], rows),
        ...(redundant.length === 0 ? [] : ["", `redundant: ${redundant.join(", ")}`]),
        ...(notRead.length === 0 ? [] : ["", `weights in other files, not read: ${notRead.join(", ")}`]),
      ].join("\n"),
    );
  } finally {
    await checkpoint.close();
  }
  return ExitCode.done;
}

/** Opens a checkpoint and shows its warnings; results list them too. */
async function openCheckpoint({ console }: Context, { directory }: CheckpointLocation, depth: CheckDepth): Promise<HfCheckpoint> {
  const checkpoint = await HfCheckpoint.open(directory, depth);
  for (const warning of checkpoint.warnings) console.warn(warning);
  return checkpoint;
}

function describe({ directory, run, step }: CheckpointLocation, config: ModelConfig): string {
  const { layers, modelDim, heads, kvHeads, headDim, mlpDim, vocabSize, contextLength } = config;
  return [
    ...(run === undefined ? [] : [`run ${run}, step ${step}`]),
    directory,
    `${isDecoder(config) ? "Decoder" : "Gemma"}, ${formatCount(parameterCount(buildModel(config)))} parameters: ${counted(layers, "layer")} of width ${modelDim}, ${counted(heads, "head")} (${kvHeads} for keys and values) of ${headDim}, MLP ${mlpDim}, vocabulary ${vocabSize}, context ${contextLength}`,
  ].join("\n");
}

/** Whether a directory was written as a checkpoint of a run: others have a `manifest.json` of their own meaning. */
function bearsOurManifest(directory: string): boolean {
  const manifest = join(directory, manifestName);
  return (
    existsSync(manifest) && (existsSync(join(directory, optimizerFile)) || readFileSync(manifest, "utf8").includes("lapidary-checkpoint/"))
  );
}

/**
 * Reads all of a checkpoint: every byte against the checksums of its manifest, where a run has written one; headers, shapes against config.json, and every
 * number, those of the optimizer too.
 */
export async function verifyCheckpoint(context: Context, from: string): Promise<ExitCode> {
  const { console, interrupts } = context;
  const location = await resolveCheckpoint(context, from);
  const progress = console.progress();
  const isSealed = location.run !== undefined || bearsOurManifest(location.directory);
  if (isSealed) {
    progress.update("read every byte");
    await verifySealed(nodeDisk, location.directory);
  }
  let [tensors, bytes] = [0, 0];
  const readAll = async (file: string, names: readonly string[], read: (name: string) => Promise<ArrayData>): Promise<void> => {
    for (const [i, name] of names.entries()) {
      interrupts.signal.throwIfAborted();
      progress.update(`read ${file}`, `${i + 1}/${names.length}`);
      const { data } = await read(name);
      tensors++;
      bytes += data.byteLength;
    }
  };
  const checkpoint = await openCheckpoint(context, location, "contents");
  const { redundant, warnings } = checkpoint;
  try {
    await readAll(
      "the weights",
      checkpoint.params.map(({ name }) => name),
      (name) => checkpoint.read(name),
    );
  } finally {
    await checkpoint.close();
  }
  if (existsSync(join(location.directory, optimizerFile))) {
    const optimizer = await SafetensorsFile.open(join(location.directory, optimizerFile));
    try {
      checkOptimizerState(checkpoint.params, optimizer);
      await readAll(optimizerFile, optimizer.names, async (name) => {
        const array = await optimizer.read(name);
        checkFinite(array, optimizer.path, name, optimizer.dtypeOf(name));
        return array;
      });
    } finally {
      await optimizer.close();
    }
  }
  progress.end();
  console.result(
    { ok: true, directory: location.directory, tensors, bytes, redundant, sealed: isSealed, warnings },
    () =>
      `${location.directory}: ${counted(tensors, "tensor")}, ${formatBytes(bytes)} as f32, whole and finite${redundant.length === 0 ? "" : `; ${redundant.join(", ")} repeat${redundant.length === 1 ? "s" : ""} what the model has`}${isSealed ? ", every byte as its manifest says" : ""}`,
  );
  return ExitCode.done;
}

/** Beside the weights of a checkpoint that a run has written. */
const optimizerFile = "optimizer.safetensors";

/** Writes what `GemmaForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` load. */
export async function exportCheckpoint(context: Context, from: string, output: string): Promise<ExitCode> {
  const { console, cwd } = context;
  const location = await resolveCheckpoint(context, from);
  const target = resolve(cwd, output);
  if (target === location.directory)
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_SELF",
      message: "a checkpoint cannot be exported onto itself",
      place: target,
    });
  const what = "the checkpoint";
  checkOutput({ kind: "directory", path: target, what });
  const checkpoint = await openCheckpoint(context, location, "contents");
  const progress = console.progress();
  progress.update("export", `to ${target}`);
  try {
    const tensors = new Map<string, ArrayData>();
    for (const { name } of checkpoint.params) tensors.set(name, await checkpoint.read(name));
    const extra = tokenizerFileNames
      .filter((name) => existsSync(join(location.directory, name)))
      .map((name) => [name, readFileSync(join(location.directory, name))] as const);
    const control = await readControlIds(join(location.directory, "config.json"));
    await writeOutputDirectory(target, what, () =>
      writeDirectoryAtomic(
        target,
        async (staging) => {
          await writeHfCheckpoint(staging, checkpoint.config, tensors, new Map(extra), control);
          await readBackHfCheckpoint(staging, tensors);
        },
        { seal: "config.json" },
      ),
    );
    progress.end();
    const files = ["config.json", "model.safetensors", ...extra.map(([name]) => name)];
    console.result(
      { directory: target, files, run: location.run ?? null, step: location.step ?? null, warnings: checkpoint.warnings },
      () => `${target}: ${files.join(", ")}`,
    );
    console.say(`in Python: GemmaForCausalLM.from_pretrained(${JSON.stringify(output)})`);
  } finally {
    progress.end();
    await checkpoint.close();
  }
  return ExitCode.done;
}
