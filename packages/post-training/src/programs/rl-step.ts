import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import { type Model, type ParamSpec, logitsOf } from "@lapidary/models";
import { type UpdateConfig, applyUpdate } from "@lapidary/training";
import {
  type GaeConfig,
  type RolloutValues,
  gaeAdvantages,
  grpoAdvantages,
  reinforceAdvantages,
  rlooAdvantages,
} from "../losses/advantages.js";
import { tokenLogProbs } from "../losses/log-probs.js";
import { type ClipRange, type GrpoConfig, type PolicyLoss, type PpoConfig, grpoLoss, ppoLoss, rlooLoss } from "../losses/policy.js";
import { type SequenceShape, batchInput, sequenceInputs, targetInputs } from "./inputs.js";
import { scoreParams, tokenScores } from "./score-model.js";
import type { StepOptions } from "./sft-step.js";
import { inSet, type TrainedParts, trainedModel, withAdapters } from "./trained-model.js";

export type RlConfig = { readonly temperature: number } & (
  | { readonly algorithm: "rloo"; readonly generations: number; readonly beta: number; readonly clip: ClipRange }
  /** RLOO without a baseline. */
  | { readonly algorithm: "reinforce"; readonly beta: number; readonly clip: ClipRange }
  | ({ readonly algorithm: "grpo"; readonly generations: number } & GrpoConfig)
  | ({ readonly algorithm: "ppo" } & PpoConfig & GaeConfig)
);

/** A loss, and the arrays that the program returns besides it. */
interface RlLoss extends PolicyLoss {
  readonly arrays: ReadonlyMap<string, Value>;
}

/** The name of the value model's parameter set. */
export const valueSet = "value";

/** The parameters of the value model, which PPO trains whole, also if the policy has an adapter. */
const valueParams = (model: Pick<Model, "params">): ParamSpec[] =>
  scoreParams(model).map((spec) => ({ ...spec, name: inSet(valueSet, spec.name) }));

/** The parameters of the policy and of the value model, which PPO trains together. */
export const withValueModel = (model: Model): Pick<Model, "params"> => ({ params: [...model.params, ...valueParams(model)] });

/** What a step of the algorithm trains. */
export const trainedByRl = (
  model: Pick<Model, "params">,
  { algorithm }: Pick<RlConfig, "algorithm">,
  lora: TrainedParts["lora"],
): TrainedParts => ({ lora, ...(algorithm === "ppo" ? { also: valueParams(model) } : {}) });

/**
 * One update of a policy on a rollout. Advantages are computed in the program from scores and log-probabilities.
 *
 *     states  tokens  targets  mask  segments  old_logps  reference_logps f32[B, T]  scores f32[B]     →  states  logps f32[B, T]  advantages …
 *             grpo: counted f32[B, T]     ppo: states of `value.…`, old_values f32[B, T]
 */
export function rlStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: StepOptions & { rl: RlConfig }): Graph {
  const { rl } = options;
  const g = new GraphBuilder("rl_step");
  const trained = trainedModel(g, model, update, trainedByRl(model, rl, options.lora));
  const { params, states, weights, adapters } = trained;
  const { tokens, options: attention } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const perToken = (name: string): Value => batchInput(g, name, "f32", [shape.batch, shape.seq]);
  const rollout: RolloutValues = {
    mask,
    oldLogps: perToken("old_logps"),
    referenceLogps: perToken("reference_logps"),
    scores: batchInput(g, "scores", "f32", [shape.batch]),
  };
  const logits = logitsOf(model, g, weights, tokens, withAdapters(attention, adapters));
  const logps = g.named("logps", g.multiply(tokenLogProbs(g, logits, targets, rl.temperature), mask));
  const valuesOf = (): Value => {
    const own = new Map(scoreParams(model).map(({ name }) => [name, weights.get(inSet(valueSet, name)) as Value]));
    return g.scope(valueSet, () => g.multiply(tokenScores(g, model, own, { tokens, options: attention }), mask));
  };
  const { loss, metrics, arrays } = lossOf(g, rl, { rollout, logps, perToken, valuesOf });
  applyUpdate(g, update, { params, states, loss, metrics, withGradients: options.withGradients === true });
  g.output("logps", logps);
  for (const [name, array] of arrays) g.output(name, array);
  return g.finish();
}

interface LossInputs {
  readonly rollout: RolloutValues;
  readonly logps: Value;
  /** An input f32[B, T] of the program. */
  readonly perToken: (name: string) => Value;
  /** The value model at every position, f32[B, T]. */
  readonly valuesOf: () => Value;
}

function lossOf(g: GraphBuilder, rl: RlConfig, { rollout, logps, perToken, valuesOf }: LossInputs): RlLoss {
  const policy = { logps, oldLogps: rollout.oldLogps, mask: rollout.mask };
  switch (rl.algorithm) {
    case "rloo": {
      const advantages = rlooAdvantages(g, rollout, rl);
      return { ...rlooLoss(g, policy, advantages, rl.clip), arrays: new Map([["advantages", advantages]]) };
    }
    case "reinforce": {
      const advantages = reinforceAdvantages(g, rollout, rl.beta);
      return { ...rlooLoss(g, policy, advantages, rl.clip), arrays: new Map([["advantages", advantages]]) };
    }
    case "grpo": {
      const advantages = grpoAdvantages(g, rollout.scores, rl.generations);
      const inputs = { advantages, referenceLogps: rollout.referenceLogps, counted: perToken("counted") };
      return { ...grpoLoss(g, policy, inputs, rl), arrays: new Map([["advantages", advantages]]) };
    }
    case "ppo": {
      const oldValues = perToken("old_values");
      const { rewards, gae, returns, advantages } = gaeAdvantages(g, rollout, oldValues, rl);
      const values = valuesOf();
      const arrays = new Map([
        ["values", values],
        ["token_rewards", rewards],
        ["gae", gae],
        ["returns", returns],
        ["advantages", advantages],
      ]);
      return { ...ppoLoss(g, policy, { advantages, returns, values, oldValues }, rl), arrays };
    }
    default:
      return rl satisfies never;
  }
}
