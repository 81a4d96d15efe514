import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, ensure, LapidaryError } from "@lapidary/std";
import { encodePairs, encodePrompts } from "./encode-example-set.js";
import type { EncodedExamples, PairSetRequest } from "./example-set.js";

/** The input of the thread that reads and encodes a set of examples. */
export interface ExampleSetThreadData {
  readonly kind: "pairs" | "prompts";
  readonly request: PairSetRequest;
}

/** Its one message. An error that is not a `LapidaryError` ends the thread and is its `error` event. */
export type FromExampleSetThread =
  | { readonly kind: "done"; readonly examples: EncodedExamples<unknown> }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = ensure(parentPort, "parent of the thread");
const { kind, request } = workerData as ExampleSetThreadData;
const send = (message: FromExampleSetThread): void => port.postMessage(message);
try {
  send({ kind: "done", examples: kind === "pairs" ? encodePairs(request) : encodePrompts(request) });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  send({ kind: "failed", error: error.toJSON() });
}
