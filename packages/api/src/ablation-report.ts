import type { AblationSummary, MeasuredGain, SeededRun } from "@lapidary/mixture";

/** The result of an ablation. JSON. */
export interface AblationReport extends AblationSummary {
  readonly sources: readonly string[];
  /** Weights of the held-out losses by source; their sum is 1. */
  readonly goal: Readonly<Record<string, number>>;
  /** Tokens of the run that the recommendation is for, and the largest share that each source can have in it. */
  readonly tokens: number;
  readonly repeat: number;
  readonly most: readonly number[];
  readonly mixtures: readonly {
    readonly shares: readonly number[];
    /** The mean over the seeds of the weighted held-out loss; null if no run of the size has the mixture. */
    readonly small: number | null;
    readonly large: number | null;
  }[];
  readonly runs: readonly SeededRun[];
  /** The recommended mixture, trained with the large size, next to the natural one; absent if the file asks for no such runs. */
  readonly measured?: MeasuredGain | undefined;
  /** The runs on the recommended mixture. */
  readonly confirming?: readonly SeededRun[] | undefined;
}
