import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { manifestName, nodeDisk, verifyCheckpoint as verifySealed } from "@lapidary/checkpoint";
import { type ArrayData, checkFinite, checkOptimizerState, HfCheckpoint, SafetensorsFile } from "@lapidary/interop";
import type { ParamSpec } from "@lapidary/models";
import type { Warning } from "@lapidary/std";
import type { Reporter } from "../reporter.js";
import type { CheckpointLocation } from "./resolve-checkpoint.js";

export interface VerifiedCheckpoint {
  readonly tensors: number;
  /** Of all tensors as f32. */
  readonly bytes: number;
  readonly redundant: readonly string[];
  /** Whether a manifest confirms every byte. */
  readonly sealed: boolean;
  readonly warnings: readonly Warning[];
}

/** The file of a run's checkpoint that holds the optimizer state. */
const optimizerFile = "optimizer.safetensors";

/**
 * Reads a whole checkpoint and checks every byte against the manifest of the run, the shapes against `config.json`, and every number. The optimizer state
 * is included.
 *
 * @throws LAP_CHECKPOINT_…
 */
export async function verifyCheckpoint(location: CheckpointLocation, reporter: Reporter, signal: AbortSignal): Promise<VerifiedCheckpoint> {
  const { directory } = location;
  const sealed = location.run !== undefined || hasRunManifest(directory);
  if (sealed) {
    reporter.progress("read every byte");
    await verifySealed(nodeDisk, directory);
  }
  let [tensors, bytes] = [0, 0];
  const readAll = async (file: string, names: readonly string[], read: (name: string) => Promise<ArrayData>): Promise<void> => {
    for (const [i, name] of names.entries()) {
      signal.throwIfAborted();
      reporter.progress(`read ${file}`, `${i + 1}/${names.length}`);
      const { data } = await read(name);
      tensors++;
      bytes += data.byteLength;
    }
  };
  const checkpoint = await HfCheckpoint.open(directory, "contents");
  const { params, trained, redundant, warnings } = checkpoint;
  warnings.forEach(reporter.warn);
  try {
    await readAll(
      "the weights",
      params.map(({ name }) => name),
      (name) => checkpoint.read(name),
    );
  } finally {
    await checkpoint.close();
  }
  const value = await readValueModel(directory, params, readAll);
  if (existsSync(join(directory, optimizerFile))) {
    const optimizer = await SafetensorsFile.open(join(directory, optimizerFile));
    try {
      checkOptimizerState([...trained, ...value], optimizer);
      await readAll(optimizerFile, optimizer.names, async (name) => {
        const array = await optimizer.read(name);
        checkFinite(array, optimizer.path, name, optimizer.dtypeOf(name));
        return array;
      });
    } finally {
      await optimizer.close();
    }
  }
  return { tensors, bytes, redundant, sealed, warnings };
}

/** The value model that PPO trains next to its policy. */
const valueFile = "value_model.safetensors";

/** Reads the value model of a checkpoint, if it has one. @returns its arrays by the names that the state of the optimizer has */
async function readValueModel(
  directory: string,
  params: readonly ParamSpec[],
  readAll: (file: string, names: readonly string[], read: (name: string) => Promise<ArrayData>) => Promise<void>,
): Promise<readonly { readonly name: string; readonly dims: readonly number[] }[]> {
  if (!existsSync(join(directory, valueFile))) return [];
  const file = await SafetensorsFile.open(join(directory, valueFile));
  try {
    await readAll(valueFile, file.names, async (name) => {
      const array = await file.read(name);
      checkFinite(array, file.path, name, file.dtypeOf(name));
      return array;
    });
    const stacks = params.filter(({ parts }) => parts !== undefined);
    const ofStacks = new Set(stacks.flatMap(({ parts = [] }) => parts));
    const own = file.names.filter((name) => !ofStacks.has(name)).map((name) => ({ name, dims: file.dimsOf(name) ?? [] }));
    return [...own, ...stacks].map(({ name, dims }) => ({ name: `value.${name}`, dims }));
  } finally {
    await file.close();
  }
}

/** Whether a directory was written as a checkpoint of a run. Other programs use `manifest.json` with another meaning. */
function hasRunManifest(directory: string): boolean {
  const manifest = join(directory, manifestName);
  return (
    existsSync(manifest) && (existsSync(join(directory, optimizerFile)) || readFileSync(manifest, "utf8").includes("lapidary-checkpoint/"))
  );
}
