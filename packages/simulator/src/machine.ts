import type { Torus } from "@lapidary/topology";
import type { ChipSpec } from "./chip/chip-spec.js";

/** The chips of a job. */
export interface Machine {
  readonly chip: ChipSpec;
  readonly pods: number;
  /** The chips of each pod that the job uses. */
  readonly torus: Torus;
}
