import { assert, ensure } from "@lapidary/std";
import type { LossChunks } from "../step/token-loss.js";
import type { ResolvedJob } from "./resolved-job.js";

type Sharded = Pick<ResolvedJob, "mesh" | "rules">;

/**
 * Parts of the sequence of a hidden state, on different chips, from which the logits of a part are computed. A mesh axis that splits the
 * vocabulary splits no sequence of logits, so that the hidden states are gathered over it.
 */
export function seqParts({ mesh, rules }: Sharded): number {
  const rule = (logical: string): readonly string[] => rules[logical] ?? [];
  const axes = new Set([
    ...rule("seq"),
    ...rule("pipeline_seq"),
    ...rule("activation_seq").filter((axis) => !rule("vocab").includes(axis)),
  ]);
  return [...axes].reduce(
    (n, axis) =>
      n *
      ensure(
        mesh.find(({ name }) => name === axis),
        axis,
      ).size,
    1,
  );
}

/** The pieces in which the step of a job computes its loss; undefined: all logits at once. The number must be known, not `auto`. */
export function lossChunksOf({ loss_chunks: count = 1, ...job }: Sharded & Pick<ResolvedJob, "loss_chunks">): LossChunks | undefined {
  assert(count !== "auto", "the number of pieces of the loss is known", count);
  return count === 1 ? undefined : { count, seqParts: seqParts(job) };
}

/** The largest number of pieces: each has a token of every part of a row. */
export const mostLossChunks = (job: Sharded & { readonly train: Pick<ResolvedJob["train"], "seq"> }): number =>
  Math.max(1, Math.floor(job.train.seq / seqParts(job)));
