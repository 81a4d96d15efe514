import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, LapidaryError, must } from "@lapidary/std";
import { buildPrograms, type ProgramRequest, type ProgramSet } from "./build.js";

/** Messages of the thread. An internal error ends the thread, and arrives as its `error` event. */
export type FromCompileThread =
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "done"; readonly set: ProgramSet }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = must(parentPort, "parent of the thread");
const say = (message: FromCompileThread): void => port.postMessage(message);
try {
  say({ kind: "done", set: buildPrograms(workerData as ProgramRequest, (done, total) => say({ kind: "progress", done, total })) });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  say({ kind: "failed", error: error.toJSON() });
}
