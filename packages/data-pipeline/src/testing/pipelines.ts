import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openStore, type StoreAccess } from "@lapidary/data-store";
import { errorFromJSON } from "@lapidary/std";
import { readPipeline } from "../file/pipeline-file.js";
import { Progress } from "../run/progress.js";
import { type RunOptions, runPipeline, type RunResult } from "../run/run-pipeline.js";
import { answer } from "../run/serve-tasks.js";
import type { TaskRunner } from "../run/task-process.js";

/** Computes tasks in this process. */
export function localRunner(location: string, access: StoreAccess): TaskRunner {
  const stores = { store: openStore(location, access), s3: access.s3 };
  return {
    request: async (request) => {
      const reply = await answer(stores, request);
      if (reply.kind === "failed") throw errorFromJSON(reply.error);
      return reply.kind === "crashed" ? { kind: "died", why: reply.stack } : reply;
    },
    kill: () => undefined,
  };
}

/** Runs a pipeline file in this process, without output. */
export function runFile(file: string, options: Partial<RunOptions> = {}): Promise<RunResult> {
  return runPipeline({
    pipeline: readPipeline(file),
    workers: 2,
    signal: new AbortController().signal,
    progress: new Progress({ now: () => 0, monotonic: () => 0 }, () => undefined),
    warn: () => undefined,
    startRunner: localRunner,
    ...options,
  });
}

export function writeText(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const words = "the of and to model trains on data that people wrote with care because every line counts here today".split(" ");

/** A text of sentences that depends on its number. */
export const proseOf = (number: number, sentences = 6): string =>
  Array.from({ length: sentences }, (_, s) => {
    const line = Array.from(
      { length: 9 + ((number + s) % 5) },
      (_, w) => words[(number * 7 + s * 3 + w * (1 + (number % 3))) % words.length],
    );
    return `Text ${number} says ${line.join(" ")}.`;
  }).join("\n");

/** JSON lines with texts. */
export const jsonlOf = (texts: readonly string[]): string =>
  texts.map((text, i) => `${JSON.stringify({ id: `doc-${i}`, text })}\n`).join("");

/** All objects of an output directory: path → digest. */
export function objectDigests(out: string): Readonly<Record<string, string>> {
  const root = join(out, "objects");
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(
    paths.map((path) => [path.slice(root.length + 1), createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );
}
