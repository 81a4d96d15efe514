import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { asJson, canonicalJson, errorFromJSON, assertNever, replaceFile } from "@lapidary/std";
import type { ProgramSet } from "./build.js";
import type { StepProgramRequest, StepProgramSet } from "../imported/step-programs.js";
import type { ProgramRequest } from "./program-request.js";
import { codeVersion } from "./code-version.js";
import type { FromCompileThread } from "./compile-thread.js";
import { digestOf } from "@lapidary/cluster";

export interface ProgramOptions {
  readonly cacheDir: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * The programs of a run: from the cache if the request and the code are the same, else compiled in a thread, so that the coordinator continues to
 * answer.
 *
 * @throws LapidaryError if the job does not fit; the reason of the signal
 */
export function programsFor(request: ProgramRequest, options: ProgramOptions): Promise<ProgramSet>;
export function programsFor(request: StepProgramRequest, options: ProgramOptions): Promise<StepProgramSet>;
export async function programsFor(request: ProgramRequest | StepProgramRequest, options: ProgramOptions): Promise<ProgramSet> {
  const key = createHash("sha256")
    .update(codeVersion())
    .update(canonicalJson(asJson(request)))
    .digest("hex")
    .slice(0, 32);
  const path = join(options.cacheDir, `${key}.json`);
  const known = read(path);
  if (known !== undefined) return known;
  const set = await compileInThread(request, options);
  mkdirSync(options.cacheDir, { recursive: true });
  const text = JSON.stringify(set);
  replaceFile(path, `${digestOf(text)}\n${text}`);
  return set;
}

/** The file begins with the digest of the rest: a changed file is not used. */
function read(path: string): ProgramSet | undefined {
  if (!existsSync(path)) return undefined;
  const file = readFileSync(path, "utf8");
  const end = file.indexOf("\n");
  const text = file.slice(end + 1);
  return file.slice(0, end) === digestOf(text) ? (JSON.parse(text) as ProgramSet) : undefined;
}

async function compileInThread(request: ProgramRequest | StepProgramRequest, { signal, onProgress }: ProgramOptions): Promise<ProgramSet> {
  signal.throwIfAborted();
  const thread = new Worker(new URL("./compile-thread.js", import.meta.url), { workerData: request });
  const abort = (): void => void thread.terminate();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await new Promise<ProgramSet>((done, fail) => {
      thread.on("message", (message: FromCompileThread) => {
        switch (message.kind) {
          case "progress":
            return onProgress?.(message.done, message.total);
          case "done":
            return done(message.set);
          case "failed":
            return fail(errorFromJSON(message.error));
          default:
            return assertNever(message);
        }
      });
      thread.once("error", fail);
      thread.once("exit", (code) => fail(signal.aborted ? signal.reason : new Error(`the thread that compiles ended with code ${code}`)));
    });
  } finally {
    signal.removeEventListener("abort", abort);
    await thread.terminate();
  }
}
