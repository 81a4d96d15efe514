import { hash32 } from "@lapidary/std";
import type { GenerationEngine, RowSampling } from "../engine.js";
import { Choice, type ChoiceDelta } from "./choice.js";
import type { GenerationPlan, PlannedPrompt } from "./plan.js";
import type { RowRequest, Scheduler } from "./scheduler.js";
import { StopStrings } from "./stop-strings.js";

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

export interface GenerateContext {
  readonly engine: GenerationEngine;
  readonly scheduler: Scheduler;
  readonly randomSeed: () => number;
  /** Aborts the generation. The promise then rejects with the reason. */
  readonly signal: AbortSignal;
}

/**
 * Generates every choice of a request. The choices of prompt p have the indices p·n to p·n + n − 1.
 *
 * @param onDelta receives the choices piece by piece; every choice has one last delta with `finish`
 */
export async function generate(plan: GenerationPlan, context: GenerateContext, onDelta: (delta: ChoiceDelta) => void): Promise<Usage> {
  const { scheduler, randomSeed, signal } = context;
  const seed = plan.seed ?? randomSeed();
  const rows = plan.prompts.flatMap((prompt, p) =>
    Array.from({ length: plan.n }, (_, i) => planRow(plan, prompt, { index: p * plan.n + i, seed: rowSeed(seed, i) }, context, onDelta)),
  );
  await scheduler.run(
    rows.map(({ row }) => row),
    signal,
  );
  const prompt_tokens = plan.prompts.reduce((sum, { ids }) => sum + ids.length, 0);
  const completion_tokens = rows.reduce((sum, { choice }) => sum + choice.tokens, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** The first choice has the seed of the request, so that the same prompt and seed have the same text for every `n` and in every list of prompts. */
const rowSeed = (seed: number, choice: number): number => (choice === 0 ? seed >>> 0 : hash32(seed >>> 0, choice));

function planRow(
  plan: GenerationPlan,
  { ids, echo, maxTokens }: PlannedPrompt,
  { index, seed }: { readonly index: number; readonly seed: number },
  { engine }: GenerateContext,
  onDelta: (delta: ChoiceDelta) => void,
): { readonly row: RowRequest; readonly choice: Choice } {
  const { temperature, top_p, top_k, topLogprobs, stop } = plan;
  const choice = new Choice({
    index,
    stream: engine.decodeStream(ids),
    stops: new StopStrings(stop),
    echo,
    withTokens: topLogprobs !== undefined,
  });
  const sampling: RowSampling = { temperature, top_p, seed, ...(top_k === undefined ? {} : { top_k }) };
  if (echo !== "") onDelta({ index, text: echo, tokens: [] });
  const row: RowRequest = {
    prompt: ids,
    sampling,
    maxTokens,
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
    onToken(token) {
      const delta = choice.push(token);
      onDelta(delta);
      return delta.finish === undefined;
    },
    onEnd: (reason) => onDelta(choice.end(reason)),
  };
  return { row, choice };
}
