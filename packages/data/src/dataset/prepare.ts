import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { errorFromJSON, LapidaryError, unreachable } from "@lapidary/std";
import { isProcessAlive, processSpace } from "@lapidary/std/process-id";
import type { OnPrepareProgress } from "./build.js";
import { type Dataset, openDataset } from "./dataset.js";
import type { FromPrepareThread, PrepareThreadData } from "./prepare-thread.js";
import { checkRequest, type DatasetRequest, datasetKey } from "./request.js";

export interface PrepareOptions extends DatasetRequest {
  /** Datasets are kept here, each in a directory of its own, named by what it was made from. */
  readonly cacheDir: string;
  readonly onProgress?: OnPrepareProgress;
  /** Stops the work; the promise then rejects with the signal's reason and nothing is left behind. */
  readonly signal?: AbortSignal;
}

/**
 * The dataset of a corpus: opened if it was prepared before, else prepared now, in a thread, so that the caller stays
 * responsive. A dataset appears whole or not at all: it is written beside its place and moved there in one step, so an
 * interrupted or concurrent preparation does no harm.
 *
 * @throws LapidaryError `LAP_DATA_…`: whatever is wrong with the settings or the corpus
 */
export async function prepareDataset(options: PrepareOptions): Promise<Dataset> {
  const { corpus, tokenizer, heldOutFraction, cacheDir, onProgress, signal } = options;
  const request: DatasetRequest = { corpus, tokenizer, heldOutFraction };
  checkRequest(request);
  const key = datasetKey(request);
  const directory = join(resolve(cacheDir), key);
  const prepared = openIfPrepared(directory);
  if (prepared !== undefined) return prepared;

  signal?.throwIfAborted();
  // A corpus may be private: what is made of it is closed to other users, whatever the umask.
  mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
  removeAbandoned(cacheDir);
  const scratch = join(resolve(cacheDir), scratchName(key));
  mkdirSync(scratch, { mode: 0o700 });
  try {
    await buildInThread({ request, key, directory: scratch }, onProgress ?? (() => undefined), signal);
    return moveIntoPlace(scratch, directory);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The dataset of a request, if it was prepared before. */
export function findPrepared({ cacheDir, ...request }: DatasetRequest & Pick<PrepareOptions, "cacheDir">): Dataset | undefined {
  return openIfPrepared(join(resolve(cacheDir), datasetKey(request)));
}

/** What lies there is used if it is whole; a directory that somebody damaged is removed. */
function openIfPrepared(directory: string): Dataset | undefined {
  if (!existsSync(directory)) return undefined;
  try {
    return openDataset(directory);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_DATASET") throw error;
    rmSync(directory, { recursive: true, force: true });
    return undefined;
  }
}

/** Where another process was faster, its dataset is taken: it is the same. */
function moveIntoPlace(scratch: string, directory: string): Dataset {
  const faster = openIfPrepared(directory);
  if (faster !== undefined) return faster;
  try {
    renameSync(scratch, directory);
  } catch (error) {
    const meanwhile = openIfPrepared(directory);
    if (meanwhile === undefined) throw error;
    return meanwhile;
  }
  return openDataset(directory);
}

/** Where a process number counts, in a file name: a container that shares the cache has numbers of its own. */
const spaceTag = createHash("sha256").update(processSpace).digest("hex").slice(0, 12);
const scratchPattern = /^\.preparing-(\d+)-(?:([0-9a-f]{12})-)?/;
/** Longer than any preparation takes. */
const abandonedAfter_ms = 24 * 3600 * 1000;

function scratchName(key: string): string {
  return `.preparing-${process.pid}-${spaceTag}-${key}-${Math.floor(performance.now() * 1000)}`;
}

/** Removes what processes that no longer live left half done. Those of other machines and containers cannot be asked: theirs goes after a day. */
function removeAbandoned(cacheDir: string): void {
  for (const name of readdirSync(cacheDir)) {
    const [, pid, space = spaceTag] = scratchPattern.exec(name) ?? [];
    if (pid === undefined) continue;
    const path = join(cacheDir, name);
    const isAbandoned =
      space === spaceTag
        ? !isProcessAlive(Number(pid))
        : Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > abandonedAfter_ms;
    if (isAbandoned) rmSync(path, { recursive: true, force: true });
  }
}

async function buildInThread(workerData: PrepareThreadData, onProgress: OnPrepareProgress, signal: AbortSignal | undefined): Promise<void> {
  const thread = new Worker(new URL("./prepare-thread.js", import.meta.url), { workerData });
  const abort = (): void => void thread.terminate();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((done, fail) => {
      thread.on("message", (message: FromPrepareThread) => {
        switch (message.kind) {
          case "progress":
            return onProgress(message.progress);
          case "done":
            return done();
          case "failed":
            return fail(errorFromJSON(message.error));
          default:
            return unreachable(message);
        }
      });
      thread.once("error", fail);
      thread.once("exit", (code) =>
        fail(signal?.aborted === true ? signal.reason : new Error(`the thread that prepares data ended with code ${code}`)),
      );
    });
  } finally {
    signal?.removeEventListener("abort", abort);
    await thread.terminate();
  }
}
