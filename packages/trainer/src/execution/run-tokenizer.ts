import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { hashOfTokenizer, hasTokenizer, readTokenizerFiles } from "@lapidary/tokenizer";
import { stepsIn } from "@lapidary/checkpoint";
import { type Run, runFiles } from "@lapidary/telemetry";

/**
 * The newest checkpoint of a run, which has its tokenizer; undefined before the first. A resumed run keeps the tokenizer of its weights, even if the
 * corpus, or the checkpoint that it started from, has changed.
 */
export function runTokenizer({ directory }: Pick<Run, "directory">): string | undefined {
  const checkpoints = join(directory, runFiles.checkpoints);
  return stepsIn(existsSync(checkpoints) ? readdirSync(checkpoints) : [])
    .sort((a, b) => a - b)
    .map((step) => join(checkpoints, `step-${step}`))
    .findLast((checkpoint) => hasTokenizer(checkpoint));
}

/** Whether the tokenizer at a path has files with the given hash. */
export function isSameTokenizer(path: string, hash: string): boolean {
  return hashOfTokenizer(readTokenizerFiles(path)) === hash;
}
