import type { MetricsRow } from "@lapidary/api";
import { tensorboardEvent } from "@lapidary/interop";

export { tensorboardFileName, tensorboardHeader } from "@lapidary/interop";

/** The events of TensorBoard for rows of metrics; a row without scalars has no event. */
export const tensorboardEvents = (rows: readonly MetricsRow[]): Buffer =>
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
    ...(grad_norm === undefined ? {} : { "train/grad_norm": grad_norm }),
    ...(learning_rate === undefined ? {} : { "train/learning_rate": learning_rate }),
    "train/tokens_per_s": tokens_per_s,
    "train/step_ms": step_ms,
  };
}
