import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { errorFromJSON, type ErrorJSON } from "@lapidary/std";

/** The reply of the thread. */
export type Inspection =
  | { readonly kind: "read"; readonly vocabSize: number; readonly place: string }
  | { readonly kind: "refused"; readonly error: ErrorJSON };

/**
 * Reads a tokenizer in a thread, because reading 256,000 ids takes seconds. Returns the number of ids and the file that defines them.
 *
 * @throws LapidaryError as `readTokenizer`
 */
export async function inspectTokenizer(path: string): Promise<{ readonly vocabSize: number; readonly place: string }> {
  const thread = new Worker(new URL("./inspect-thread.js", import.meta.url), { workerData: path });
  try {
    const [inspection] = (await once(thread, "message")) as [Inspection];
    if (inspection.kind === "refused") throw errorFromJSON(inspection.error);
    return inspection;
  } finally {
    await thread.terminate();
  }
}
