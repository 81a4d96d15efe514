import { chipCount, type Torus } from "@lapidary/topology";
import { type ChipSpec, wrapsAt } from "../chip/chip-spec.js";

/** Figures of a whole pod in data sheets. */
export interface PodFigures {
  /** Bytes per second that all chips together send over their links, in one direction. */
  readonly allReduceBytesPerS: number;
  /** Bytes per second over the links between the two halves of the longest dim, in one direction. */
  readonly bisectionBytesPerS: number;
  readonly dcnBytesPerS: number;
  /**
   * Tokens of a pod's batch at which compute takes as long as the reduction of gradients between pods: 4·T·P flops and 2 · 2P bytes, for P
   * params in bf16.
   */
  readonly dcnCrossoverTokens: number;
}

export function podFigures(chip: ChipSpec, torus: Torus): PodFigures {
  const chips = chipCount(torus);
  const longest = Math.max(...torus.dims);
  const dcn = (chip.host.dcn_bytes_per_s / chip.host.chips) * chips;
  return {
    allReduceBytesPerS: chips * 2 * torus.dims.length * chip.ici.link_bytes_per_s,
    bisectionBytesPerS: (chips / longest) * (wrapsAt(chip, longest) ? 2 : 1) * chip.ici.link_bytes_per_s,
    dcnBytesPerS: dcn,
    dcnCrossoverTokens: (chip.matrix.bf16_flops * chips) / dcn,
  };
}
