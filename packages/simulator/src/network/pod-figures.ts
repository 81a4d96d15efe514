import { chipCount, type Torus } from "@lapidary/topology";
import { type ChipSpec, wrapsAt } from "../chip/chip-spec.js";

/** What data sheets say of a whole pod. */
export interface PodFigures {
  /** Bytes a second that all chips together put on their links, one way. */
  readonly allReduceBytesPerS: number;
  /** Over the links that a cut through the middle of the longest dim meets, one way. */
  readonly bisectionBytesPerS: number;
  readonly dcnBytesPerS: number;
  /** Tokens of a pod's batch from which computing hides the reduction of gradients between pods: 4·T·P flops against 2 · 2P bytes, P params in bf16. */
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
