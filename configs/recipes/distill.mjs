/**
 * Knowledge distillation (Hinton et al. 2015): a student learns the next-token probabilities of a teacher, which may be a larger model with the same
 * vocabulary.
 *
 *     loss of a target = (1 − weight) · cross-entropy  +  weight · temperature² · KL(teacher ‖ student)
 *
 * Both distributions of the KL are those of logits / temperature.
 */
import { defineRecipe, option, tokenLosses } from "@lapidary/recipe";

export const recipe = defineRecipe({
  apiVersion: 1,
  options: {
    temperature: option.number({ describe: "divides the logits of both models in the KL", default: 2, min: 0.1, max: 100 }),
    weight: option.number({ describe: "share of the KL in the loss; the rest is cross-entropy", default: 0.9, min: 0, max: 1 }),
  },
  sets: ["teacher"],
  loss(g, { logits, targets, set, options: { temperature, weight } }) {
    const teacher = logProbs(g, g.scale(set("teacher").logits, 1 / temperature));
    const student = logProbs(g, g.scale(logits, 1 / temperature));
    const kl = g.reduce(g.multiply(g.exponential(teacher), g.subtract(teacher, student)), [2], "sum");
    const crossEntropy = tokenLosses(g, logits, targets);
    return {
      losses: g.add(g.scale(crossEntropy, 1 - weight), g.scale(kl, weight * temperature ** 2)),
      metrics: { cross_entropy: crossEntropy, kl },
    };
  },
});

/** log softmax over the vocabulary, f32[B,T,V]. Each step is elementwise or a reduction over V, so a sharded vocabulary is never gathered. */
function logProbs(g, logits) {
  const { dims } = logits.type;
  const max = g.stopGradient(g.reduce(logits, [2], "max"));
  const shifted = g.subtract(logits, g.broadcastInDim(max, dims, [0, 1]));
  const logSum = g.log(g.reduce(g.exponential(shifted), [2], "sum"));
  return g.subtract(shifted, g.broadcastInDim(logSum, dims, [0, 1]));
}
