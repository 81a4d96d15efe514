import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { MetricsRow } from "@lapidary/coordinator/api";
import { tensorboardEvent, tensorboardFileName, tensorboardHeader } from "@lapidary/interop";

/** The numbers of a run as an event file of TensorBoard, in a directory of its own under `root`. */
export class TensorboardFile {
  readonly path: string;
  #bytes: number;

  /** @param begin milliseconds since the epoch: it is in the file's name */
  constructor(root: string, run: string, begin: number) {
    this.path = join(root, run, tensorboardFileName(begin));
    mkdirSync(dirname(this.path), { recursive: true });
    const header = tensorboardHeader(begin);
    writeFileSync(this.path, header);
    this.#bytes = header.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(...rows: readonly MetricsRow[]): void {
    const events = rows.flatMap((row) => {
      const scalars = scalarsOf(row);
      return scalars === undefined ? [] : [tensorboardEvent({ time: row.time, step: row.step, scalars })];
    });
    const data = Buffer.concat(events);
    appendFileSync(this.path, data);
    this.#bytes += data.length;
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
