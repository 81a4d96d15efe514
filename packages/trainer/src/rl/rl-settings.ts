import type { LoraConfig, Model } from "@lapidary/models";
import type { RlConfig } from "@lapidary/post-training";
import type { Clock, JsonValue } from "@lapidary/std";
import type { RolloutWeights, UpdateConfig } from "@lapidary/training";
import type { ParameterSet } from "./program-host.js";
import type { RolloutPrompt } from "./rollout-rows.js";

/** A prompt, and what a checker reads of its row. */
export interface RlPrompt extends RolloutPrompt {
  readonly text: string;
  readonly columns: Readonly<Record<string, JsonValue>>;
}

/** Where scores come from. The score of a completion is the sum of all sources with their weights. */
export type RewardSource = { readonly name: string; readonly weight: number } & (
  | {
      readonly kind: "checker";
      /** @param row the prompt, and the text of the completion without control tokens */
      readonly check: (row: { prompt: string; answer: string; columns: RlPrompt["columns"] }) => Promise<number>;
    }
  | {
      readonly kind: "model";
      /** The parameter set of the reward model. */
      readonly set: ParameterSet;
      /** The score is (w · h − shift) · scale. */
      readonly shift: number;
      readonly scale: number;
    }
);

/**
 * What happens to a completion without a stop token:
 *
 * - `mask`: none of its tokens is trained, and its group ignores its score;
 * - `penalty`: its score is `score`;
 * - `score`: the completion is scored as a complete one.
 */
export type CutOffRule = { readonly rule: "mask" } | { readonly rule: "penalty"; readonly score: number } | { readonly rule: "score" };

interface RolloutSettings {
  /** Prompts of a step. */
  readonly prompts: number;
  /** Completions to each prompt. */
  readonly generations: number;
  /** Tokens of a prompt at most. */
  readonly promptTokens: number;
  /** Tokens of a completion at most. */
  readonly newTokens: number;
  readonly temperature: number;
  readonly stopTokens: readonly number[];
  /** How rollouts read the weights. Default `sharded`. */
  readonly weights?: RolloutWeights;
}

type WithoutShared<C> = C extends unknown ? Omit<C, "temperature" | "generations"> : never;

export interface RlSettings {
  readonly model: Model;
  /** Trains this adapter. The reference is then the weights of the policy without it. */
  readonly lora?: LoraConfig | undefined;
  /** `steps` counts updates: steps of the run × `iterations`. */
  readonly update: UpdateConfig;
  readonly seed: number;
  readonly algorithm: WithoutShared<RlConfig>;
  readonly rollout: RolloutSettings;
  /** The prompts of a step, a function of the step. */
  readonly promptsOf: (step: number) => readonly RlPrompt[];
  readonly rewards: readonly RewardSource[];
  readonly cutOff: CutOffRule;
  /** Updates on each rollout. */
  readonly iterations: number;
  readonly text: CompletionText;
  readonly guard?: RlGuard;
  readonly clock?: Clock;
}

export interface CompletionText {
  /** The text of tokens, without control tokens. */
  readonly decode: (ids: readonly number[]) => string;
  /** Ends a completion as the data of the reward model end. A completion without a stop token stays as it is. */
  readonly end: (ids: readonly number[]) => readonly number[];
  /** Tokens that `end` adds at most. */
  readonly endTokens: number;
}

/** The settings that decide the graphs of a step. */
export type RlGraphSettings = Pick<RlSettings, "model" | "lora" | "update" | "algorithm" | "rollout"> & {
  readonly text: Pick<CompletionText, "endTokens">;
};

/** Bounds that stop a run. */
export interface RlGuard {
  /** Of |log-probability of the sampler − of the trainer|, the maximum over tokens. Default 1e-3. */
  readonly logProbGap?: number;
  /** Of the KL to the reference, nats a token. No bound by default. */
  readonly kl?: number;
}
