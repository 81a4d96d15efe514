import { z } from "zod";
import type { GenerationEngine } from "../engine.js";
import { fieldError, unsupportedError } from "../errors.js";
import type { GenerationPlan, PlannedPrompt } from "../generation/plan.js";
import { checkLogprobs, checkModel, encodeWith, tokensToGenerate } from "./checks.js";
import { commonFields, type Fields, inertCompletionFields, maxChoices, readFields, withoutInert } from "./fields.js";

const ids = z.array(z.int().min(0)).min(1);

const completionSchema = z.strictObject({
  ...commonFields,
  prompt: z.union([z.string(), ids, z.array(z.string()).min(1).max(maxChoices), z.array(ids).min(1).max(maxChoices)], {
    error: `expected a string, a list of token ids, or a list of at most ${maxChoices} of them`,
  }),
  echo: z.boolean().default(false),
  logprobs: z.int().min(0).max(5).optional(),
});

/** OpenAI's default. */
const defaultMaxTokens = 16;

/**
 * Checks the body of `POST /v1/completions`.
 *
 * @throws LapidaryError with the field as location
 */
export function planCompletion(body: Fields, engine: GenerationEngine): GenerationPlan {
  const request = readFields(completionSchema, withoutInert(body, inertCompletionFields));
  checkModel(request.model, engine);
  const { prompt, echo, logprobs, max_tokens = defaultMaxTokens, stream_options, ...rest } = request;
  if (echo && logprobs !== undefined)
    throw unsupportedError("logprobs", "the engine has no log probabilities of the prompt; omit it or echo");
  checkLogprobs(logprobs, "logprobs", engine);
  const texts = promptList(prompt);
  if (texts.length * rest.n > maxChoices)
    throw fieldError("n", `expected at most ${maxChoices} texts in one answer, got ${texts.length * rest.n}`);
  const prompts = texts.map((text): PlannedPrompt => {
    const encoded = typeof text === "string" ? encodeWith("prompt", () => engine.encodePrompt(text)) : checkIds(text, engine);
    const maxTokens = tokensToGenerate("prompt", encoded, max_tokens, engine);
    return { ids: encoded, echo: echo ? echoOf(text, engine) : "", maxTokens };
  });
  return { ...rest, prompts, top_k: rest.top_k, seed: rest.seed, topLogprobs: logprobs, includeUsage: stream_options.include_usage };
}

function promptList(prompt: z.output<typeof completionSchema>["prompt"]): readonly (string | readonly number[])[] {
  if (typeof prompt === "string") return [prompt];
  return isIds(prompt) ? [prompt] : prompt;
}

const isIds = (prompt: readonly (string | number | readonly number[])[]): prompt is readonly number[] =>
  prompt.every((each) => typeof each === "number");

function checkIds(tokens: readonly number[], { vocabSize }: GenerationEngine): readonly number[] {
  const bad = tokens.find((id) => id >= vocabSize);
  if (bad !== undefined) throw fieldError("prompt", `expected token ids below ${vocabSize}, got ${bad}`);
  return tokens;
}

function echoOf(text: string | readonly number[], engine: GenerationEngine): string {
  if (typeof text === "string") return text;
  const stream = engine.decodeStream([]);
  return text.map((id) => stream.push(id)).join("") + stream.end();
}
