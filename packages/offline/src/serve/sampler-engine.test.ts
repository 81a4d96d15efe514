import { deepStrictEqual, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hubTokenizerFiles, readHubTokenizer } from "@lapidary/data/testing/hub-tokenizer";
import type { GenerationRow } from "@lapidary/serving";
import type { Sampler } from "@lapidary/trainer";
import { chatOf } from "../generation/chat.js";
import { SamplerEngine } from "./sampler-engine.js";

type GenerateTokens = Sampler["generateTokens"];

describe("the engine of a sampler", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-engine-"));
  for (const [name, text] of Object.entries(hubTokenizerFiles)) writeFileSync(join(directory, name), text);
  const tokenizer = readHubTokenizer(directory);
  after(() => rmSync(directory, { recursive: true }));

  const engineOf = (generateTokens: GenerateTokens): SamplerEngine =>
    new SamplerEngine({
      sampler: { context: 64, tokenizer, generateTokens },
      modelId: "model",
      modelCreated: 1,
      chat: chatOf(tokenizer),
      batchRows: 8,
    });

  const rowOf = (signal: AbortSignal, received: unknown[], topLogprobs?: number): GenerationRow => ({
    prompt: [2, 70],
    sampling: { temperature: 1, top_p: 0.5, top_k: 3, seed: 7 },
    maxTokens: 4,
    ...(topLogprobs === undefined ? {} : { topLogprobs }),
    signal,
    onToken: (token) => received.push(token),
    onEnd: (reason) => received.push(reason),
  });

  const twoTokens: GenerateTokens = async ({ onToken }) => {
    const logits = new Float32Array([0, 0]);
    onToken?.(70, logits);
    await Promise.resolve();
    onToken?.(1, logits);
    return { tokens: [70, 1], stoppedBy: "eos" };
  };

  it("the engine passes a row to the sampler, and the end of a turn stops an answer to turns", async () => {
    const calls: unknown[] = [];
    const engine = engineOf((options) => {
      const { prompt, tokens, sampling, seed, stopTokens } = options;
      calls.push({ prompt, tokens, sampling, seed, stopTokens });
      return twoTokens(options);
    });
    const received: unknown[] = [];
    await engine.generate([rowOf(new AbortController().signal, received)]);
    deepStrictEqual(calls, [{ prompt: [2, 70], tokens: 4, sampling: { temperature: 1, top_p: 0.5, top_k: 3 }, seed: 7, stopTokens: [] }]);
    const { prompt, ...row } = rowOf(new AbortController().signal, []);
    await engine.generate([{ ...row, prompt: [...prompt, 260] }]);
    deepStrictEqual((calls[1] as { stopTokens: unknown }).stopTokens, [261]);
    deepStrictEqual(received, [{ id: 70 }, { id: 1 }, "stop"]);
  });

  it("a token has log probabilities if the row requests them", async () => {
    const received: unknown[] = [];
    await engineOf(twoTokens).generate([rowOf(new AbortController().signal, received, 1)]);
    const [half] = [Math.log(0.5)];
    deepStrictEqual(received[1], { id: 1, logprob: half, top: [{ id: 0, logprob: half }] });
  });

  it("an aborted row has no further tokens and no end, and is not a failure; another error is", async () => {
    const stop = new AbortController();
    const received: unknown[] = [];
    const row = rowOf(stop.signal, received);
    await engineOf(twoTokens).generate([{ ...row, onToken: () => stop.abort() }]);
    deepStrictEqual(received, []);
    await engineOf(() => Promise.reject(stop.signal.reason)).generate([rowOf(stop.signal, received)]);
    const failing = engineOf(() => Promise.reject(new Error("no worker")));
    await rejects(failing.generate([rowOf(new AbortController().signal, received)]), { message: "no worker" });
  });

  it("a chat has the ids of the template, and a wrong order of roles is refused", () => {
    const engine = engineOf(twoTokens);
    const ids = engine.encodeChat?.([{ role: "user", content: "<end_of_turn>" }]) ?? [];
    // A text of a user cannot become a control token.
    deepStrictEqual([ids[0], ids.filter((id) => id === 261).length], [2, 1]);
    throws(() => engine.encodeChat?.([{ role: "assistant", content: "x" }]), { code: "LAP_EXAMPLE_ROLE" });
    strictEqual(engine.decodeStream(ids).push(tokenizer.encode("x")[0] ?? 0), "x");
    deepStrictEqual(engine.encodePrompt(""), [2]);
  });
});
