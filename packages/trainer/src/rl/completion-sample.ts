import { ensure } from "@lapidary/std";
import type { RlSettings } from "./rl-settings.js";
import type { CompletionEnds } from "./rollout-rows.js";
import type { RolloutScores } from "./scores.js";

/** A completion, for people. */
export interface CompletionSample {
  readonly prompt: string;
  readonly completion: string;
  /** The weighted sum of all sources, after the rule for cut-off completions. */
  readonly score: number;
  /** `stop`: it ends with a stop token. `length`: it was cut off. */
  readonly finish_reason?: "stop" | "length";
}

/** Completions, and their scores. */
export interface ScoredRollout extends RolloutScores {
  readonly ends: CompletionEnds;
  readonly completions: readonly Int32Array[];
}

/** The completions of prompt number `at` of a rollout, with its text. */
export function samplesOf(
  { completions, ends, scores }: Pick<ScoredRollout, "completions" | "ends" | "scores">,
  at: number,
  prompt: string,
  { generations, decode }: { readonly generations: number; readonly decode: RlSettings["text"]["decode"] },
): readonly CompletionSample[] {
  return Array.from({ length: generations }, (_, i) => {
    const row = at * generations + i;
    return {
      prompt,
      completion: decode([...ensure(completions[row], "completion")]),
      score: ensure(scores[row], "score"),
      finish_reason: ends.isCutOff[row] === 1 ? "length" : "stop",
    };
  });
}
