import { type CollectiveSummary, type Program, stateBytesPerChip, summarizeCollectives } from "@lapidary/compiler";
import { parametersOf, sizeOf } from "@lapidary/ir";

/** What is known of a train step before it runs. */
export interface ProgramFacts {
  /** Weights of the model. */
  readonly parameters: number;
  /** Bytes that one chip holds, and those of the gradients that it holds when all are there. */
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
