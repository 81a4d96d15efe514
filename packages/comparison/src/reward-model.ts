import type { CallOptions } from "./answer-model.js";

/** A reward model that scores answers. */
export interface RewardModel {
  /** As the user named it. */
  readonly name: string;
  /** Ends an answer as the data of the reward model end. An answer without a token that ends it stays as it is. */
  readonly end: (ids: readonly number[]) => readonly number[];
  start(): Promise<RunningRewardModel>;
}

export interface RunningRewardModel {
  /** The score of each row, a prompt and an ended answer, in the order of the rows. */
  scores(rows: readonly (readonly number[])[], options: CallOptions): Promise<readonly number[]>;
  close(): Promise<void>;
}
