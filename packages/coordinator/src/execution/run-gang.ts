import type { ArrayData } from "@lapidary/interop";
import type { FeedMessage, RunReply } from "@lapidary/worker/protocol";
import type { Port, ProgramText } from "../programs/build.js";

/**
 * What a run does with its gang of workers. Calls are carried out in the order in which they are made, by all workers alike, and return at
 * once: their promises settle when it is done. Values are known by name.
 *
 * Every promise rejects with LAP_WORKER_LOST once a worker is lost.
 */
export interface RunGang {
  readonly workers: readonly { readonly worker: number; readonly pid: number }[];
  load(program: ProgramText): Promise<void>;
  /** Holds a whole array under the port's name. */
  put(port: Port, array: ArrayData): Promise<void>;
  /** Holds a step's batch, read by each worker for itself. */
  feed(batch: Omit<FeedMessage, "kind" | "epoch">): Promise<void>;
  /** Computes; values named by `donate` are consumed. */
  run(call: ProgramCall): Promise<readonly RunReply[]>;
  /** The whole array. */
  fetch(value: string): Promise<ArrayData>;
  drop(values: readonly string[]): Promise<void>;
}

export interface ProgramCall {
  readonly step: number;
  readonly program: ProgramText;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly donate: readonly string[];
}
