import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, LapidaryError, must } from "@lapidary/std";
import { buildDataset, type PrepareProgress } from "./build.js";
import type { DatasetRequest } from "./request.js";

/** What the thread is given to do. */
export interface PrepareThreadData {
  readonly request: DatasetRequest;
  readonly key: string;
  /** Exists and is empty. */
  readonly directory: string;
}

/** All that the thread says. An error that is a bug of ours ends it, and arrives as its `error` event. */
export type FromPrepareThread =
  | { readonly kind: "progress"; readonly progress: PrepareProgress }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = must(parentPort, "parent of the thread");
const { request, key, directory } = workerData as PrepareThreadData;
const say = (message: FromPrepareThread): void => port.postMessage(message);
try {
  buildDataset(request, key, directory, (progress) => say({ kind: "progress", progress }));
  say({ kind: "done" });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  say({ kind: "failed", error: error.toJSON() });
}
