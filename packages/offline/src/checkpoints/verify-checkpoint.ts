import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { manifestName, nodeDisk, verifyCheckpoint as verifySealed } from "@lapidary/checkpoint";
import { type ArrayData, checkFinite, checkOptimizerState, HfCheckpoint, SafetensorsFile } from "@lapidary/interop";
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
  const { params, redundant, warnings } = checkpoint;
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
  if (existsSync(join(directory, optimizerFile))) {
    const optimizer = await SafetensorsFile.open(join(directory, optimizerFile));
    try {
      checkOptimizerState(params, optimizer);
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

/** Whether a directory was written as a checkpoint of a run. Other programs use `manifest.json` with another meaning. */
function hasRunManifest(directory: string): boolean {
  const manifest = join(directory, manifestName);
  return (
    existsSync(manifest) && (existsSync(join(directory, optimizerFile)) || readFileSync(manifest, "utf8").includes("lapidary-checkpoint/"))
  );
}
