import { capacityOf, type Dispatch, droplessSlots, expertLayersOf } from "@lapidary/models";
import { buildOptionsOf } from "./build-options.js";
import type { ResolvedJob } from "./resolved-job.js";

/** What the experts of a step compute, before any token is routed. */
export interface ExpertPlan {
  readonly dispatch: Dispatch["kind"];
  readonly experts: number;
  readonly per_token: number;
  /** Rows of an expert for each row of tokens; null without a capacity. */
  readonly capacity: number | null;
  /** Choices of experts by tokens, in all layers. */
  readonly rows_chosen: number;
  /** Rows that the experts compute, in all layers. */
  readonly rows_computed: number;
  /** Rows of the buffers of the experts, in all layers. Those above `rows_computed` stay empty: `dropless` has slots for any choices. */
  readonly rows_stored: number;
  /** Rows of the chip with most of them that the predicted times assume, as a multiple of the mean. */
  readonly imbalance: number;
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
  const capacity = dispatch.kind === "capacity" ? capacityOf(seq, experts, dispatch.capacityFactor) : null;
  const chosen = layers * batch * seq * perToken;
  const isDropless = dispatch.kind === "dropless";
  const stored = layers * batch * (isDropless ? dispatch.parts * droplessSlots(seq, experts, dispatch.parts) : count * (capacity ?? seq));
  return {
    dispatch: dispatch.kind,
    experts: count,
    per_token: perToken,
    capacity,
    rows_chosen: chosen,
    rows_computed: isDropless ? chosen : stored,
    rows_stored: stored,
    imbalance: isDropless ? dispatch.imbalance : 1,
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
