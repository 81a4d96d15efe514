import { join } from "node:path";
import type { MetricsRow } from "@lapidary/api";
import { tensorboardEvent, tensorboardFileName, tensorboardHeader } from "@lapidary/interop";
import { GrowingOutput, writeOutputFile } from "../output/output.js";

/** The numbers of a run as an event file of TensorBoard, in a directory of its own under `root`. */
export class TensorboardFile {
  readonly #file: GrowingOutput;

  /** @param begin milliseconds since the epoch: it is in the file's name */
  constructor(root: string, run: string, begin: number) {
    this.#file = new GrowingOutput(pathOf(root, run, begin), what, tensorboardHeader(begin));
  }

  /** All rows at once: whole or not at all. */
  static write(root: string, run: string, begin: number, rows: readonly MetricsRow[]): { readonly path: string; readonly bytes: number } {
    const [path, data] = [pathOf(root, run, begin), Buffer.concat([tensorboardHeader(begin), eventsOf(rows)])];
    writeOutputFile(path, what, data);
    return { path, bytes: data.length };
  }

  get path(): string {
    return this.#file.path;
  }

  append(...rows: readonly MetricsRow[]): void {
    this.#file.append(eventsOf(rows));
  }
}

const what = "the TensorBoard events";
const pathOf = (root: string, run: string, begin: number): string => join(root, run, tensorboardFileName(begin));

const eventsOf = (rows: readonly MetricsRow[]): Buffer =>
  Buffer.concat(
    rows.flatMap((row) => {
      const scalars = scalarsOf(row);
      return scalars === undefined ? [] : [tensorboardEvent({ time: row.time, step: row.step, scalars })];
    }),
  );

function scalarsOf(row: MetricsRow): Record<string, number> | undefined {
  if (row.kind === "eval") return { "eval/heldout_loss": row.heldout_loss };
  if (row.kind !== "train") return undefined;
  const { loss, grad_norm, learning_rate, tokens_per_s, step_ms } = row;
  return {
    "train/loss": loss,
    "train/grad_norm": grad_norm,
    "train/learning_rate": learning_rate,
    "train/tokens_per_s": tokens_per_s,
    "train/step_ms": step_ms,
  };
}
