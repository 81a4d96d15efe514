import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { FakeEngine } from "../testing/fake-engine.js";
import { planChat } from "./chat-request.js";
import { planCompletion } from "./completion-request.js";
import type { Fields } from "./fields.js";

const engine = new FakeEngine({ maxTopLogprobs: 2 });
const chat = { model: "org/fake", messages: [{ role: "user", content: "hi" }] };
const completion = { model: "org/fake", prompt: "hi" };
const part = (fields: Fields): Fields => ({ messages: [{ role: "user", content: [{ type: "text", text: "a" }, fields] }] });

/** Fields, the code of the error, and its location. */
type Refusal = readonly [fields: Fields, code: string, param: string];

const unsupportedInChat: readonly Refusal[] = (
  [
    [{ tools: [{ type: "function" }] }, "tools"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ functions: [{}] }, "functions"],
    [{ response_format: { type: "json_object" } }, "response_format"],
    [{ response_format: { type: "text", schema: {} } }, "response_format"],
    [{ logit_bias: { 5: 1 } }, "logit_bias"],
    [{ frequency_penalty: 0.1 }, "frequency_penalty"],
    [{ presence_penalty: -1 }, "presence_penalty"],
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ audio: {} }, "audio"],
    [{ store: true }, "store"],
    [{ reasoning_effort: "low" }, "reasoning_effort"],
    [{ min_p: 0.1 }, "min_p"],
    [{ prompt: "x" }, "prompt"],
    [{ best_of: 1 }, "best_of"],
    [{ stream_options: { x: 1 } }, "stream_options.x"],
    [{ logprobs: true, top_logprobs: 3 }, "logprobs"],
    [part({ type: "image_url", image_url: { url: "x" } }), "messages.0.content.1.type"],
    [part({ type: "text", text: "a", cache_control: {} }), "messages.0.content.1.cache_control"],
    [{ messages: [{ role: "tool", content: "x", tool_call_id: "1" }] }, "messages.0.role"],
    [{ messages: [{ role: "user", content: "x", name: "Ada" }] }, "messages.0.name"],
    [{ messages: [{ role: "assistant", content: "x", tool_calls: [{}] }] }, "messages.0.tool_calls"],
    [{ messages: [{ role: "assistant", content: "x", refusal: "no" }] }, "messages.0.refusal"],
  ] as const
).map(([fields, param]) => [fields, "LAP_SERVE_UNSUPPORTED", param]);

const invalidInChat: readonly Refusal[] = (
  [
    [{ model: 5 }, "model"],
    [{ messages: [] }, "messages"],
    [{ messages: "x" }, "messages"],
    [{ messages: [null] }, "messages.0"],
    [{ messages: [{ role: "king", content: "x" }] }, "messages.0.role"],
    [{ messages: [{ role: "user" }] }, "messages.0.content"],
    [{ messages: [{ role: "user", content: [] }] }, "messages.0.content"],
    [{ temperature: 2.1 }, "temperature"],
    [{ temperature: "1" }, "temperature"],
    [{ top_p: -0.1 }, "top_p"],
    [{ top_k: 0 }, "top_k"],
    [{ n: 0 }, "n"],
    [{ n: 129 }, "n"],
    [{ seed: 0.5 }, "seed"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: 2, max_completion_tokens: 3 }, "max_tokens"],
    [{ stop: "" }, "stop"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ stop: "\ud800" }, "stop"],
    [{ stream: 1 }, "stream"],
    [{ top_logprobs: 1 }, "top_logprobs"],
  ] as const
).map(([fields, param]) => [fields, "LAP_HTTP_REQUEST", param]);

const refusedCompletions: readonly Refusal[] = [
  [{ suffix: "x" }, "LAP_SERVE_UNSUPPORTED", "suffix"],
  [{ best_of: 2 }, "LAP_SERVE_UNSUPPORTED", "best_of"],
  [{ echo: true, logprobs: 0 }, "LAP_SERVE_UNSUPPORTED", "logprobs"],
  [{ logprobs: 5 }, "LAP_SERVE_UNSUPPORTED", "logprobs"],
  [{ messages: [] }, "LAP_SERVE_UNSUPPORTED", "messages"],
  [{ prompt: null }, "LAP_HTTP_REQUEST", "prompt"],
  [{ prompt: [] }, "LAP_HTTP_REQUEST", "prompt"],
  [{ prompt: ["a", 5] }, "LAP_HTTP_REQUEST", "prompt"],
  [{ prompt: [[]] }, "LAP_HTTP_REQUEST", "prompt.0"],
  [{ prompt: ["a", "b"], n: 65 }, "LAP_HTTP_REQUEST", "n"],
  [{ model: "other" }, "LAP_SERVE_MODEL", "model"],
  [{ max_tokens: 5000 }, "LAP_SERVE_CONTEXT", "prompt"],
];

const refuses = (plan: () => unknown, code: string, param: string): void =>
  throws(plan, (error) => {
    deepStrictEqual(error instanceof LapidaryError && [error.code, error.location], [code, param]);
    return true;
  });

describe("request bodies", () => {
  for (const [fields, code, param] of [...unsupportedInChat, ...invalidInChat])
    it(`a chat with ${JSON.stringify(fields)} is refused with ${code} at ${param}`, () =>
      refuses(() => planChat({ ...chat, ...fields }, engine), code, param));

  for (const [fields, code, param] of refusedCompletions)
    it(`a completion with ${JSON.stringify(fields)} is refused with ${code} at ${param}`, () =>
      refuses(() => planCompletion({ ...completion, ...fields }, engine), code, param));

  it("a body with a key of Object.prototype is refused", () => {
    for (const key of ["__proto__", "constructor", "toString"])
      refuses(
        () => planCompletion(JSON.parse(`{"model":"org/fake","prompt":"a","${key}":{}}`) as Fields, engine),
        "LAP_SERVE_UNSUPPORTED",
        key,
      );
  });

  it("fields with values that have no effect are accepted", () => {
    const inert = {
      user: "u",
      metadata: {},
      frequency_penalty: 0,
      presence_penalty: 0,
      logit_bias: {},
      tools: [],
      tool_choice: "none",
      response_format: { type: "text" },
      modalities: ["text"],
      store: false,
      service_tier: "auto",
      parallel_tool_calls: true,
      audio: null,
    };
    strictEqual(planChat({ ...chat, ...inert }, engine).n, 1);
    strictEqual(planCompletion({ ...completion, best_of: 1, suffix: "" }, engine).n, 1);
  });
});
