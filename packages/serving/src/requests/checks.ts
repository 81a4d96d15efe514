import { LapidaryError } from "@lapidary/std";
import type { GenerationEngine } from "../engine.js";
import { contextError, fieldError, modelError, promptError, unsupportedError } from "../errors.js";

/** @throws LAP_SERVE_MODEL */
export function checkModel(model: string, { modelId }: GenerationEngine): void {
  if (model !== modelId) throw modelError(model, modelId);
}

/** @throws LAP_SERVE_UNSUPPORTED if the engine has no log probabilities, or fewer than requested */
export function checkLogprobs(requested: number | undefined, param: string, { maxTopLogprobs }: GenerationEngine): void {
  if (requested === undefined) return;
  if (maxTopLogprobs === undefined) throw unsupportedError(param, "the engine returns no log probabilities");
  if (requested > maxTopLogprobs)
    throw unsupportedError(param, `the engine returns at most ${maxTopLogprobs} log probabilities for each token`);
}

/** @throws LAP_SERVE_PROMPT if the tokenizer or the chat template rejects the prompt */
export function encodeWith(param: string, encode: () => readonly number[]): readonly number[] {
  try {
    return encode();
  } catch (error) {
    if (error instanceof LapidaryError) throw promptError(param, error);
    throw error;
  }
}

/**
 * @param requested absent: as many as the context has
 * @throws LAP_SERVE_CONTEXT
 */
export function tokensToGenerate(param: string, ids: readonly number[], requested: number | undefined, engine: GenerationEngine): number {
  if (ids.length === 0) throw fieldError(param, "the prompt has no tokens");
  const free = engine.contextLength - ids.length;
  if (free < (requested ?? 1)) throw contextError(param, ids.length, requested, engine.contextLength);
  return requested ?? free;
}
