import { parentPort, workerData } from "node:worker_threads";
import { LapidaryError, ensure } from "@lapidary/std";
import type { Inspection } from "./inspect.js";
import { readTokenizer } from "./tokenizer-files.js";

const port = ensure(parentPort, "parent of the thread");
const reply = (inspection: Inspection): void => port.postMessage(inspection);
try {
  const { tokenizer, place } = readTokenizer(workerData as string);
  reply({ kind: "read", vocabSize: tokenizer.vocabSize, place });
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  reply({ kind: "refused", error: error.toJSON() });
}
