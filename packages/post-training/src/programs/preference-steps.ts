import { type Graph, GraphBuilder } from "@lapidary/ir";
import { type Model, logitsOf } from "@lapidary/models";
import { type UpdateConfig, applyUpdate } from "@lapidary/training";
import { rowSums } from "../losses/arithmetic.js";
import { tokenLogProbs } from "../losses/log-probs.js";
import { type DpoConfig, type RewardLossConfig, dpoLoss, meansOfSides, rewardLoss } from "../losses/preference.js";
import { type SequenceShape, batchInput, sequenceInputs, targetInputs } from "./inputs.js";
import { rowScores, scoreHead, tokenScores } from "./score-model.js";
import type { StepOptions } from "./sft-step.js";
import { trainedModel, withAdapters } from "./trained-model.js";

/**
 * One step of a reward model. The batch has chosen rows, then rejected rows. With an adapter, the head is trained as well.
 *
 *     states  tokens  last i32[2B]  margin f32[B]   →   states  scores f32[2B]  loss  accuracy  margin_mean …
 */
export function rewardStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: StepOptions & RewardLossConfig = {}): Graph {
  const g = new GraphBuilder("reward_step");
  const { params, states, weights, adapters } = trainedModel(g, model, update, { lora: options.lora, also: [scoreHead(model)] });
  const { tokens, options: attention } = sequenceInputs(g, shape);
  const last = batchInput(g, "last", "i32", [shape.batch]);
  const margin = batchInput(g, "margin", "f32", [shape.batch / 2]);
  const scores = rowScores(g, tokenScores(g, model, weights, { tokens, options: withAdapters(attention, adapters) }), last);
  const { loss, accuracy, margin: mean } = rewardLoss(g, scores, margin, options);
  const score = meansOfSides(g, scores);
  const metrics = new Map([
    ["accuracy", accuracy],
    ["margin_mean", mean],
    ["score_chosen", score.chosen],
    ["score_rejected", score.rejected],
  ]);
  applyUpdate(g, update, { params, states, loss, metrics, withGradients: options.withGradients === true });
  g.output("scores", scores);
  return g.finish();
}

/**
 * One step of direct preference optimization. The batch has chosen rows, then rejected rows; the mask counts completions.
 *
 *     states  tokens  targets  mask  reference_logps f32[2B]   →   states  logps f32[2B]  rewards f32[2B]  loss  accuracy …
 */
export function dpoStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: StepOptions & { dpo: DpoConfig }): Graph {
  const g = new GraphBuilder("dpo_step");
  const { params, states, weights, adapters } = trainedModel(g, model, update, { lora: options.lora });
  const { tokens, options: attention } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const reference = batchInput(g, "reference_logps", "f32", [shape.batch]);
  const logits = logitsOf(model, g, weights, tokens, withAdapters(attention, adapters));
  const logps = g.named("logps", rowSums(g, g.multiply(tokenLogProbs(g, logits, targets, 1), mask)), ["batch"]);
  const { loss, rewards, accuracy, margin } = dpoLoss(g, { logps, reference, tokens: rowSums(g, mask) }, options.dpo);
  const [reward, logp] = [meansOfSides(g, rewards), meansOfSides(g, logps)];
  const metrics = new Map([
    ["accuracy", accuracy],
    ["margin_mean", margin],
    ["reward_chosen", reward.chosen],
    ["reward_rejected", reward.rejected],
    ["logp_chosen", logp.chosen],
    ["logp_rejected", logp.rejected],
  ]);
  applyUpdate(g, update, { params, states, loss, metrics, withGradients: options.withGradients === true });
  g.output("logps", logps);
  g.output("rewards", rewards);
  return g.finish();
}
