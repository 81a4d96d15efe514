import { join } from "node:path";
import type { MetricsRow } from "@lapidary/coordinator/api";
import { tensorboardEvent, tensorboardFileName, tensorboardHeader } from "@lapidary/interop";
import { GrowingOutput } from "../output/output.js";

/** The numbers of a run as an event file of TensorBoard, in a directory of its own under `root`. */
export class TensorboardFile {
  readonly #file: GrowingOutput;

  /** @param begin milliseconds since the epoch: it is in the file's name */
  constructor(root: string, run: string, begin: number) {
    const path = join(root, run, tensorboardFileName(begin));
    this.#file = new GrowingOutput(path, "the TensorBoard events", tensorboardHeader(begin));
  }

  get path(): string {
    return this.#file.path;
  }

  get bytes(): number {
    return this.#file.bytes;
  }

  append(...rows: readonly MetricsRow[]): void {
    const events = rows.flatMap((row) => {
      const scalars = scalarsOf(row);
      return scalars === undefined ? [] : [tensorboardEvent({ time: row.time, step: row.step, scalars })];
    });
    this.#file.append(Buffer.concat(events));
  }
}

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
