import { buildModel } from "@lapidary/models";
import { logProbs, score } from "@lapidary/post-training";
import { ensure } from "@lapidary/std";
import { decodeProgram, paramStates, prefillProgram } from "@lapidary/training";
import type { RecipePrograms } from "./recipe.js";

/**
 * Two models that answer prompts. It trains nothing, so it has programs and no steps: `@lapidary/comparison` runs them for each model.
 *
 *     prefill    params, prompts → cache, logits f32[B,V]
 *     decode     params, cache, token → cache, logits f32[B,V]
 *     logprobs   params, tokens, targets, mask → log-probabilities f32[B,T], entropy
 *     score      reward model, tokens, last → scores f32[B]
 */
export const compare: RecipePrograms = {
  name: "compare",
  stepProgram: "decode",
  graphs({ model: config, batch, seq, compare: given }) {
    const model = buildModel(config);
    const { newTokens, endTokens } = ensure(given, "compare");
    const shape = { batch, seq, segments: false };
    const positions = { batch, positions: seq };
    return {
      graphs: {
        prefill: { trace: () => prefillProgram(model, { ...positions, prompt: seq - newTokens }) },
        decode: { trace: () => decodeProgram(model, positions) },
        logprobs: { trace: () => logProbs(model, shape, { temperature: 1 }) },
        ...(endTokens === undefined ? {} : { score: { trace: () => score(model, { ...shape, seq: seq + endTokens }) } }),
      },
      states: [],
      frozen: paramStates(model),
      // One batch of prompts, which one model answers. `decode` runs that often if an answer has all its tokens.
      step: [
        { name: "prefill", program: "prefill", phase: "prefill", runs: 1 },
        { name: "decode", program: "decode", phase: "decode", runs: Math.max(1, newTokens - 1) },
        { name: "logprobs", program: "logprobs", phase: "reference", runs: 1 },
        ...(endTokens === undefined ? [] : [{ name: "score", program: "score", phase: "score", runs: 1 } as const]),
      ],
    };
  },
};
