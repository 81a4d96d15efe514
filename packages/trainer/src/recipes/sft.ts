import { buildModel } from "@lapidary/models";
import { adaptedModel, frozenWeights, sftEvalStep, sftStep, trainedStates } from "@lapidary/post-training";
import { initGraph, nextTokenLogits, trainMetrics } from "@lapidary/training";
import { openLossSteps, withExpertMetrics } from "./loss-steps.js";
import type { Recipe } from "./recipe.js";

/**
 * Supervised fine-tuning on rows of documents, with the loss of the tokens that the rows train. With an adapter, the states are those of its matrices
 * and the weights are frozen.
 *
 *     init         → states of step 0
 *     sft_step     states, (weights), tokens, targets, mask, segments → states, metrics
 *     eval_step    params, tokens, targets, mask, segments → loss_sum, tokens_counted
 *     next_token   params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const sft: Recipe = {
  name: "sft",
  stepProgram: "sft_step",
  metrics: trainMetrics,
  batchArrays: ["tokens", "targets", "mask", "segments"],
  graphs({ model: config, lora, update, batch, seq, chunks, microbatches, build, seed }) {
    const model = buildModel(config, build);
    // Generation computes every chosen expert.
    const sampled = buildModel(config);
    const states = trainedStates(model, update, { lora });
    const shape = { batch, seq, segments: true };
    return {
      graphs: {
        sft_step: { trace: () => sftStep(model, update, shape, { lora, chunks, microbatches }) },
        init: { trace: () => initGraph(states, seed) },
        eval_step: { trace: () => sftEvalStep(model, shape, { lora, chunks, microbatches }) },
        next_token: { trace: () => nextTokenLogits(adaptedModel(sampled, lora), { batch: 1, seq }), rules: { batch: null } },
      },
      states,
      frozen: frozenWeights(model, { lora }),
    };
  },
  open: (run, inputs) => openLossSteps(withExpertMetrics(sft, inputs), run),
};
