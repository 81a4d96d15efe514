import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, LapidaryError, ensure } from "@lapidary/std";
import { buildDataset, type PrepareProgress } from "./build.js";
import { buildMixture } from "../mixed/build-mixture.js";
import type { MixtureRequest } from "../mixed/mixture-request.js";
import { buildRows } from "../rows/build-rows.js";
import type { RowsRequest } from "../rows/rows-request.js";
import type { DatasetRequest } from "./request.js";

/** A dataset to prepare, and its key. */
export type Preparation =
  | { readonly kind: "corpus"; readonly key: string; readonly request: DatasetRequest }
  | { readonly kind: "rows"; readonly key: string; readonly request: RowsRequest }
  | { readonly kind: "mixture"; readonly key: string; readonly request: MixtureRequest };

/** The input of the thread. */
export type PrepareThreadData = Preparation & {
  /** Exists and is empty. */
  readonly directory: string;
};

/** The messages of the thread. An error that is not a `LapidaryError` ends the thread and is its `error` event. */
export type FromPrepareThread =
  | { readonly kind: "progress"; readonly progress: PrepareProgress }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = ensure(parentPort, "parent of the thread");
const work = workerData as PrepareThreadData;
const send = (message: FromPrepareThread): void => port.postMessage(message);
try {
  const onProgress = (progress: PrepareProgress): void => send({ kind: "progress", progress });
  if (work.kind === "rows") buildRows(work.request, work.key, work.directory, onProgress);
  else if (work.kind === "mixture") await buildMixture(work.request, work.key, work.directory, onProgress);
  else buildDataset(work.request, work.key, work.directory, onProgress);
  send({ kind: "done" });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  send({ kind: "failed", error: error.toJSON() });
}
