import { layerTypesOf } from "@lapidary/models";
import { seqPartsOfJob } from "./build-options.js";
import type { ContextStrategyName } from "./job-schema.js";
import type { ResolvedJob } from "./resolved-job.js";

/** How attention is divided over the chips that have parts of a row. */
export interface ContextPlan {
  readonly strategy: ContextStrategyName;
  readonly parts: number;
  readonly balance: boolean;
  /** Scores that the causal mask and windows leave on the chip with most of them, as a multiple of the mean of all chips. */
  readonly slowest_scores: number;
  /** The same with `context.balance`; equal if the job has it, or if it does not apply. */
  readonly slowest_scores_balanced: number;
}

/** Undefined if nothing splits the sequence of the step, or if its rows are not those of a pretraining. */
export function contextPlanOf(job: ResolvedJob): ContextPlan | undefined {
  const parts = seqPartsOfJob(job);
  if (parts === 1 || job.recipe !== undefined) return undefined;
  const { strategy = "all_gather", balance = false } = job.context ?? {};
  const { seq } = job.train;
  const windows = layerTypesOf(job.model.config).map((type) => (type === "window" ? Math.min(seq, job.model.config.window ?? seq) : seq));
  const slowest = (balanced: boolean): number => (strategy === "heads" ? 1 : slowestShare(seq, parts, windows, balanced));
  return {
    strategy,
    parts,
    balance,
    slowest_scores: slowest(balance),
    slowest_scores_balanced: seq % (2 * parts) === 0 ? slowest(true) : slowest(balance),
  };
}

/** The most scores of a part over their mean. @param windows by layer, the positions that a query sees at most */
export function slowestShare(seq: number, parts: number, windows: readonly number[], balanced: boolean): number {
  const pieces = balanced ? 2 * parts : parts;
  /** Scores of the queries before a position, in all layers. */
  const before = (position: number): number =>
    windows.reduce((sum, window) => {
      const rising = Math.min(position, window);
      return sum + (rising * (rising + 1)) / 2 + (position - rising) * window;
    }, 0);
  const ofPiece = (piece: number): number => before(((piece + 1) * seq) / pieces) - before((piece * seq) / pieces);
  const ofPart = Array.from({ length: parts }, (_, part) => (balanced ? ofPiece(part) + ofPiece(pieces - 1 - part) : ofPiece(part)));
  return (Math.max(...ofPart) * parts) / before(seq);
}
