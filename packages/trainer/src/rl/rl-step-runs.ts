import type { Model } from "@lapidary/models";
import { adaptedModel, inSet, scoreParams, valueSet } from "@lapidary/post-training";
import { type Handle, handleOf } from "@lapidary/protocol";
import { paramName } from "@lapidary/training";
import type { StepRun } from "../recipes/recipe.js";
import { type ParameterSet, weightHandle, weightInputs } from "./program-host.js";
import type { RlGraphSettings } from "./rl-settings.js";
import { gatheredOutputs, gatheredSet } from "./rollout.js";

type Inputs = (readonly [string, Handle])[];

/** The weights of the reference, as `rollout_logprobs` reads them. Under an adapter, they are those of the policy. */
export const referenceInputs = ({ model: { params }, lora }: Pick<RlGraphSettings, "model" | "lora">): Inputs =>
  lora !== undefined ? [] : params.map(({ name }) => [paramName(inSet("reference", name)), weightHandle("reference", name)]);

/** The weights of the value model, as `values` reads them. */
export const valueInputs = (model: Pick<Model, "params">): Inputs =>
  scoreParams(model).map(({ name }) => [paramName(name), handleOf(paramName(inSet(valueSet, name)))]);

export interface RlStepRunsOptions {
  /** Updates on each rollout. */
  readonly iterations: number;
  /** The parameter sets of the reward models. */
  readonly rewardSets: readonly ParameterSet[];
}

/** The programs of a step in their order. `rollout_decode` runs that often if a completion has all its tokens. */
export function rlStepRuns({ model, lora, algorithm, rollout }: RlGraphSettings, { iterations, rewardSets }: RlStepRunsOptions): StepRun[] {
  const isGathered = rollout.weights === "gathered";
  const drawing = adaptedModel(model, lora);
  const weights = isGathered ? weightInputs(drawing.params, gatheredSet("policy")) : [];
  const policy = (name: string, phase: StepRun["phase"], runs: number, inputs: Inputs = []): StepRun[] =>
    runs === 0 ? [] : [{ name, program: name, phase, runs, inputs: new Map(inputs) }];
  return [
    ...(isGathered
      ? policy("gather_rollout", "prefill", 1).map((run) => ({ ...run, outputs: new Map(gatheredOutputs(drawing, "policy")) }))
      : []),
    ...policy("rollout_prefill", "prefill", 1, weights),
    ...policy("rollout_decode", "decode", rollout.newTokens - 1, weights),
    ...rewardSets.map((set): StepRun => {
      const inputs = new Map(weightInputs(scoreParams(model), set));
      return { name: rewardSets.length === 1 ? "score" : `score ${set}`, program: "score", phase: "score", runs: 1, inputs };
    }),
    ...policy("rollout_logprobs", "reference", 1, referenceInputs({ model, lora })),
    ...(algorithm.algorithm === "ppo" ? policy("values", "reference", 1, valueInputs(model)) : []),
    ...policy("rl_step", "update", iterations),
  ];
}
