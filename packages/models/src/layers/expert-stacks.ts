import type { Projection } from "./projection.js";

// D model dim · E experts · F width of an expert

/** The projections of all experts of a layer. */
export interface ExpertStacks {
  /** [E, F, D] */
  readonly gate: Projection;
  /** [E, F, D] */
  readonly up: Projection;
  /** [E, D, F] */
  readonly down: Projection;
}
