import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, LapidaryError, ensure } from "@lapidary/std";
import { buildDataset, type PrepareProgress } from "./build.js";
import type { DatasetRequest } from "./request.js";

/** The input of the thread. */
export interface PrepareThreadData {
  readonly request: DatasetRequest;
  readonly key: string;
  /** Exists and is empty. */
  readonly directory: string;
}

/** The messages of the thread. An error that is not a `LapidaryError` ends the thread and is its `error` event. */
export type FromPrepareThread =
  | { readonly kind: "progress"; readonly progress: PrepareProgress }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = ensure(parentPort, "parent of the thread");
const { request, key, directory } = workerData as PrepareThreadData;
const send = (message: FromPrepareThread): void => port.postMessage(message);
try {
  buildDataset(request, key, directory, (progress) => send({ kind: "progress", progress }));
  send({ kind: "done" });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  send({ kind: "failed", error: error.toJSON() });
}
