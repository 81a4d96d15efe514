import { capacityOf, expertLayersOf } from "@lapidary/models";
import { buildOptionsOf } from "./build-options.js";
import type { ResolvedJob } from "./resolved-job.js";

/** What the experts of a step compute, before any token is routed. */
export interface ExpertPlan {
  readonly dispatch: "capacity" | "dense";
  readonly experts: number;
  readonly per_token: number;
  /** Rows of an expert for each row of tokens; null if every expert computes every token. */
  readonly capacity: number | null;
  /** Choices of experts by tokens, in all layers. */
  readonly rows_chosen: number;
  /** Rows that the experts compute, in all layers. */
  readonly rows_computed: number;
  /** Share of the choices that is dropped if each token chooses experts at random. A router that prefers some experts drops more. */
  readonly dropped_share_random: number;
}

/** Undefined if the model has no experts. */
export function expertPlanOf(job: ResolvedJob): ExpertPlan | undefined {
  const { config } = job.model;
  const { experts } = config;
  if (experts === undefined) return undefined;
  const { batch, seq } = job.train;
  const { dispatch = { kind: "dense" as const } } = buildOptionsOf(job);
  const { count, perToken } = experts;
  const layers = expertLayersOf(config);
  const capacity = dispatch.kind === "dense" ? null : capacityOf(seq, experts, dispatch.capacityFactor);
  return {
    dispatch: dispatch.kind,
    experts: count,
    per_token: perToken,
    capacity,
    rows_chosen: layers * batch * seq * perToken,
    rows_computed: layers * batch * count * (capacity ?? seq),
    dropped_share_random: capacity === null ? 0 : overflowShare(seq, perToken / count, capacity),
  };
}

/** Expected share of a binomial number of tokens, `tokens` draws of probability `p`, that is above `capacity`. */
export function overflowShare(tokens: number, p: number, capacity: number): number {
  if (capacity >= tokens || p >= 1) return p >= 1 ? Math.max(0, 1 - capacity / tokens) : 0;
  // Probabilities by their logarithms: those of long rows are too small for a double.
  let log = tokens * Math.log1p(-p);
  let overflow = 0;
  for (let n = 0; n <= tokens; n++) {
    if (n > capacity) overflow += (n - capacity) * Math.exp(log);
    log += Math.log((tokens - n) / (n + 1)) + Math.log(p) - Math.log1p(-p);
  }
  return overflow / (tokens * p);
}
