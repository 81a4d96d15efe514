import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { errorFromJSON, LapidaryError, assertNever } from "@lapidary/std";
import { isProcessAlive, processSpace } from "@lapidary/std/process-id";
import type { OnPrepareProgress } from "./build.js";
import { MixtureDataset } from "../mixed/mixture-dataset.js";
import { type MixtureRequest, mixtureKey } from "../mixed/mixture-request.js";
import { RowDataset } from "../rows/row-dataset.js";
import { type RowsRequest, rowsKey } from "../rows/rows-request.js";
import { type Dataset, openCorpus } from "./dataset.js";
import type { FromPrepareThread, Preparation, PrepareThreadData } from "./prepare-thread.js";
import { checkRequest, type DatasetRequest, datasetKey } from "./request.js";

/** How a dataset is prepared. */
export interface PrepareWork {
  /** The directory of all datasets. Each has its own directory, with its key as the name. */
  readonly cacheDir: string;
  readonly onProgress?: OnPrepareProgress;
  /** Stops the work. The promise then rejects with the reason of the signal, and all partial files are removed. */
  readonly signal?: AbortSignal;
}

export interface PrepareOptions extends DatasetRequest, PrepareWork {}

/**
 * The dataset of a corpus. If it was prepared before, it is opened. Otherwise a thread prepares it, so that the caller stays
 * responsive. A dataset exists completely or not at all: it is written to a temporary directory, which is then renamed.
 * Therefore preparations may be interrupted or run at the same time.
 *
 * @throws LapidaryError `LAP_DATA_…` for invalid settings or an invalid corpus
 */
export async function prepareDataset(options: PrepareOptions): Promise<Dataset> {
  const { corpus, tokenizer, heldOutFraction, ...work } = options;
  const request: DatasetRequest = { corpus, tokenizer, heldOutFraction };
  checkRequest(request);
  return prepareDirectory({ kind: "corpus", request, key: datasetKey(request) }, openCorpus, work);
}

/**
 * The dataset of files of examples, as `prepareDataset` does it for a corpus.
 *
 * @throws LapidaryError `LAP_DATA_…` for a file; `LAP_EXAMPLE_…` if no example of a file can be used, or for invalid shares
 */
export async function prepareRows(request: RowsRequest, options: PrepareWork): Promise<RowDataset> {
  return prepareDirectory({ kind: "rows", request, key: rowsKey(request) }, openRows, options);
}

/**
 * The rows of a run over a mixture, as `prepareDataset` does it for a corpus. Copies no tokens.
 *
 * @throws LapidaryError `LAP_DATA_…` for a damaged dataset; `LAP_MIXTURE_…` for stages that cannot be trained
 */
export async function prepareMixture(request: MixtureRequest, options: PrepareWork): Promise<MixtureDataset> {
  return prepareDirectory({ kind: "mixture", request, key: mixtureKey(request) }, openMixture, options);
}

const openMixture = (directory: string): MixtureDataset => new MixtureDataset(directory);

const openRows = (directory: string): RowDataset => new RowDataset(directory);

async function prepareDirectory<T>(
  preparation: Preparation,
  open: (directory: string) => T,
  { cacheDir, onProgress, signal }: PrepareWork,
): Promise<T> {
  const { key } = preparation;
  const directory = join(resolve(cacheDir), key);
  const prepared = openIfPrepared(directory, open);
  if (prepared !== undefined) return prepared;

  signal?.throwIfAborted();
  // A corpus may be private, so other users cannot read its datasets, independently of the umask.
  mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
  removeAbandoned(cacheDir);
  const scratch = join(resolve(cacheDir), scratchName(key));
  mkdirSync(scratch, { mode: 0o700 });
  try {
    await buildInThread({ ...preparation, directory: scratch }, onProgress ?? (() => undefined), signal);
    return moveIntoPlace(scratch, directory, open);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The dataset of a request, if it was prepared before. */
export function findPrepared({ cacheDir, ...request }: DatasetRequest & Pick<PrepareOptions, "cacheDir">): Dataset | undefined {
  return openIfPrepared(join(resolve(cacheDir), datasetKey(request)), openCorpus);
}

/** The dataset of a directory if it is complete. Removes a damaged directory. */
function openIfPrepared<T>(directory: string, open: (directory: string) => T): T | undefined {
  if (!existsSync(directory)) return undefined;
  try {
    return open(directory);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_DATA_DATASET") throw error;
    rmSync(directory, { recursive: true, force: true });
    return undefined;
  }
}

/** If another process has prepared the same dataset meanwhile, that one is used. */
function moveIntoPlace<T>(scratch: string, directory: string, open: (directory: string) => T): T {
  const existing = openIfPrepared(directory, open);
  if (existing !== undefined) return existing;
  try {
    renameSync(scratch, directory);
  } catch (error) {
    const concurrent = openIfPrepared(directory, open);
    if (concurrent === undefined) throw error;
    return concurrent;
  }
  return open(directory);
}

/** Identifies the PID namespace in a file name, because containers that share the cache have their own process ids. */
const spaceTag = createHash("sha256").update(processSpace).digest("hex").slice(0, 12);
const scratchPattern = /^\.preparing-(\d+)-(?:([0-9a-f]{12})-)?/;
/** Longer than any preparation. */
const abandonedAfter_ms = 24 * 3600 * 1000;

function scratchName(key: string): string {
  return `.preparing-${process.pid}-${spaceTag}-${key}-${Math.floor(performance.now() * 1000)}`;
}

/** Removes temporary directories of processes that have exited. Those of other machines and containers are removed after a day. */
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
            return assertNever(message);
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
