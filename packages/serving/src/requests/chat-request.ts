import { z } from "zod";
import type { ChatMessage, GenerationEngine } from "../engine.js";
import { fieldError, noChatError, unsupportedError } from "../errors.js";
import type { GenerationPlan } from "../generation/plan.js";
import { checkLogprobs, checkModel, encodeWith, tokensToGenerate } from "./checks.js";
import { commonFields, type Fields, inertChatFields, isFields, noTools, readFields, withoutInert } from "./fields.js";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });

const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union(
    [
      z.string(),
      z
        .array(textPart)
        .min(1)
        .transform((parts) => parts.map(({ text }) => text).join("")),
    ],
    {
      error: "expected a string or a list of text parts",
    },
  ),
});

const chatSchema = z.strictObject({
  ...commonFields,
  messages: z.array(message).min(1),
  max_completion_tokens: z.int().min(1).optional(),
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(20).optional(),
});

/**
 * Checks the body of `POST /v1/chat/completions`.
 *
 * @throws LapidaryError with the field as location
 */
export function planChat(body: Fields, engine: GenerationEngine): GenerationPlan {
  const fields = withoutInert(body, inertChatFields);
  const request = readFields(chatSchema, {
    ...fields,
    ...(Array.isArray(fields.messages) ? { messages: fields.messages.map(readMessage) } : {}),
  });
  checkModel(request.model, engine);
  const { logprobs, top_logprobs, max_tokens, max_completion_tokens, stream_options, messages, ...rest } = request;
  if (top_logprobs !== undefined && !logprobs) throw fieldError("top_logprobs", "expected `logprobs: true` with it");
  if (max_tokens !== undefined && max_completion_tokens !== undefined && max_tokens !== max_completion_tokens)
    throw fieldError("max_tokens", "expected the value of max_completion_tokens");
  const topLogprobs = logprobs ? (top_logprobs ?? 0) : undefined;
  checkLogprobs(topLogprobs, "logprobs", engine);
  if (engine.encodeChat === undefined) throw noChatError(engine.modelId);
  const dialogue = messages.map(({ role, content }): ChatMessage => ({ role: role === "developer" ? "system" : role, content }));
  const ids = encodeWith("messages", () => engine.encodeChat?.(dialogue) ?? []);
  const maxTokens = tokensToGenerate("messages", ids, max_completion_tokens ?? max_tokens, engine);
  return {
    ...rest,
    prompts: [{ ids, echo: "", maxTokens }],
    top_k: rest.top_k,
    seed: rest.seed,
    topLogprobs,
    includeUsage: stream_options.include_usage,
  };
}

const isEmpty = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** Fields that clients repeat from an earlier answer. */
const inertMessageFields = {
  annotations: { isInert: isEmpty, reason: "the template has no annotations" },
  tool_calls: { isInert: isEmpty, reason: noTools },
  refusal: { isInert: (): boolean => false, reason: "the template has no refusals" },
};

/** @throws LAP_SERVE_UNSUPPORTED for a role, a field or a part that the template cannot express */
function readMessage(value: unknown, i: number): unknown {
  if (!isFields(value)) return value;
  const { role, content } = value;
  if (role === "tool" || role === "function") throw unsupportedError(`messages.${i}.role`, noTools);
  if (Array.isArray(content))
    for (const [j, part] of content.entries())
      if (isFields(part) && typeof part.type === "string" && part.type !== "text")
        throw unsupportedError(`messages.${i}.content.${j}.type`, "the model reads text only");
  return withoutInert(value, inertMessageFields, `messages.${i}.`);
}
