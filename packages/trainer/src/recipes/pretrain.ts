import { buildModel } from "@lapidary/models";
import { evalStep, initGraph, nextTokenLogits, trainMetrics, trainState, trainStep } from "@lapidary/training";
import { heldoutSourcesOf, openLossSteps, withExpertMetrics } from "./loss-steps.js";
import type { Recipe } from "./recipe.js";

/**
 * Language modelling on text.
 *
 *     init         → params/…, adam_m/…, …, step             state of step 0
 *     train_step   state, batch → state, metrics
 *     eval_step    params, batch → loss_sum, tokens_counted
 *     next_token   params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const pretrain: Recipe = {
  name: "pretrain",
  stepProgram: "train_step",
  metrics: trainMetrics,
  batchArrays: ["tokens", "targets", "mask"],
  graphs({ model: config, update, batch, seq, chunks, microbatches, build, seed }) {
    const model = buildModel(config, build);
    // Generation computes every chosen expert.
    const sampled = buildModel(config, { pipeline: build?.pipeline });
    const states = trainState(model, update.optimizer);
    return {
      graphs: {
        train_step: { trace: () => trainStep(model, update, { batch, seq }, { chunks, microbatches }) },
        init: { trace: () => initGraph(states, seed) },
        eval_step: { trace: () => evalStep(model, { batch, seq }, { chunks, microbatches }) },
        // One row of text does not divide over the data axes: every replica computes it.
        next_token: { trace: () => nextTokenLogits(sampled, { batch: 1, seq }), rules: { batch: null } },
      },
      states,
      frozen: [],
    };
  },
  open: (run, inputs) => openLossSteps(withExpertMetrics(pretrain, inputs), run, heldoutSourcesOf(inputs)),
};
