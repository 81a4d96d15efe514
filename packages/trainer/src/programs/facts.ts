import { type CollectiveSummary, type Program, stateBytesPerChip, summarizeCollectives } from "@lapidary/compiler";
import { parametersOf, sizeOf } from "@lapidary/ir";

/** Facts about a train step that are known before it runs. */
export interface ProgramFacts {
  /** Weights of the model. */
  readonly parameters: number;
  /** Bytes that one chip has, and bytes of all its gradients. */
  readonly bytes_per_chip: { readonly params: number; readonly optimizer: number; readonly gradients: number };
  readonly collectives: readonly CollectiveSummary[];
}

export function programFacts({ global, chip }: Program): ProgramFacts {
  const weights = parametersOf(global).filter(({ role }) => role === "param");
  return {
    parameters: weights.reduce((sum, { type }) => sum + sizeOf(type.dims), 0),
    bytes_per_chip: stateBytesPerChip(chip),
    collectives: summarizeCollectives(chip),
  };
}
