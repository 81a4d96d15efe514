import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ArrayData,
  HfCheckpoint,
  readBackHfCheckpoint,
  readControlIds,
  writeDirectoryAtomic,
  writeHfCheckpoint,
} from "@lapidary/interop";
import type { Warning } from "@lapidary/std";
import { tokenizerFileNames } from "@lapidary/tokenizer";
import type { CheckpointLocation } from "./resolve-checkpoint.js";

/** A checkpoint in memory. */
export interface ReadableCheckpoint {
  /** Names of the files that `write` creates. */
  readonly files: readonly string[];
  readonly warnings: readonly Warning[];
  /** Writes the files that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` load, and reads them back. */
  readonly write: (target: string) => Promise<void>;
}

/** Reads the weights and the tokenizer of a checkpoint. */
export async function readForExport({ directory }: CheckpointLocation, onWarning: (warning: Warning) => void): Promise<ReadableCheckpoint> {
  const checkpoint = await HfCheckpoint.open(directory, "contents");
  try {
    const { config, params, warnings } = checkpoint;
    warnings.forEach(onWarning);
    const tensors = new Map<string, ArrayData>();
    for (const { name } of params) tensors.set(name, await checkpoint.read(name));
    const tokenizer = tokenizerFileNames
      .filter((name) => existsSync(join(directory, name)))
      .map((name) => [name, readFileSync(join(directory, name))] as const);
    const control = await readControlIds(checkpoint.configFile);
    return {
      files: ["config.json", "model.safetensors", ...tokenizer.map(([name]) => name)],
      warnings,
      write: (target) =>
        writeDirectoryAtomic(
          target,
          async (staging) => {
            await writeHfCheckpoint(staging, config, tensors, new Map(tokenizer), control);
            await readBackHfCheckpoint(staging, tensors);
          },
          { seal: "config.json" },
        ),
    };
  } finally {
    await checkpoint.close();
  }
}
