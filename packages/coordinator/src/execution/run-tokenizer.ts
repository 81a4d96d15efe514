import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { hashOfTokenizer, ownTokenizerFile, readTokenizerFiles, type TokenizerFiles, writeTokenizerFiles } from "@lapidary/data";
import { stepsIn } from "../checkpoints/checkpoint-store.js";
import { type Run, runFiles } from "../runs/run.js";

/**
 * Where the tokenizer of a run is kept; undefined before its data was prepared. It is fixed from then on: when the run is resumed, its weights keep
 * their words, even if the corpus or the checkpoint that it started from changed meanwhile.
 */
export function runTokenizer({ directory }: Pick<Run, "directory">): string | undefined {
  const kept = join(directory, runFiles.tokenizer);
  if (existsSync(kept)) return kept;
  // Runs of earlier versions have it in their checkpoints alone.
  const checkpoints = join(directory, runFiles.checkpoints);
  return stepsIn(existsSync(checkpoints) ? readdirSync(checkpoints) : [])
    .map((step) => join(checkpoints, `step-${step}`))
    .findLast((checkpoint) => existsSync(join(checkpoint, ownTokenizerFile)));
}

/** Keeps the tokenizer of a run, unless it has one. */
export function keepTokenizer({ directory }: Pick<Run, "directory">, files: TokenizerFiles): void {
  const kept = join(directory, runFiles.tokenizer);
  if (!existsSync(kept)) writeTokenizerFiles(kept, files);
}

/** Whether the tokenizer at a path has the same files as one whose hash is given. */
export function isSameTokenizer(path: string, hash: string): boolean {
  return hashOfTokenizer(readTokenizerFiles(path)) === hash;
}
