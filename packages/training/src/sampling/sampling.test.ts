import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { LapidaryError, seededRandom } from "@lapidary/std";
import { generate } from "./generate.js";
import { greedy, type Sampling, sampleToken } from "./sample-token.js";

const logits = Float32Array.from([0.1, 0.6, 0.25, 0.05].map(Math.log));
const all: Sampling = { temperature: 1, top_p: 1 };

/** The frequency of each token in 20000 draws. */
function shares(sampling: Sampling, never: readonly number[] = []): number[] {
  const random = seededRandom(5);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 20000; i++) {
    const token = sampleToken(logits, sampling, random, never);
    counts[token] = (counts[token] ?? 0) + 1;
  }
  return counts.map((n) => n / 20000);
}

const near = (actual: readonly number[], expected: readonly number[]): void =>
  ok(
    actual.every((x, i) => Math.abs(x - (expected[i] ?? 0)) < 0.01),
    `${actual.join()} for ${expected.join()}`,
  );

describe("sampling", () => {
  it("sampleToken draws tokens by their probability", () => near(shares(all), [0.1, 0.6, 0.25, 0.05]));

  it("sampleToken returns the likeliest token at temperature 0, the first of equals", () => {
    strictEqual(sampleToken(logits, greedy, seededRandom(1)), 1);
    strictEqual(sampleToken(Float32Array.from([1, 3, 3]), greedy, seededRandom(1)), 1);
  });

  it("a temperature below 1 sharpens the distribution and above 1 flattens it", () => {
    const squared = [0.01, 0.36, 0.0625, 0.0025];
    near(
      shares({ ...all, temperature: 0.5 }),
      squared.map((x) => x / 0.435),
    );
    near(shares({ ...all, temperature: 100 }), [0.25, 0.255, 0.252, 0.247]);
  });

  it("top_k keeps the k likeliest tokens", () => near(shares({ ...all, top_k: 2 }), [0, 0.6 / 0.85, 0.25 / 0.85, 0]));

  it("top_p keeps the smallest set of probability p, at least one token", () => {
    near(shares({ ...all, top_p: 0.8 }), [0, 0.6 / 0.85, 0.25 / 0.85, 0]);
    near(shares({ ...all, top_p: 0.01 }), [0, 1, 0, 0]);
  });

  it("sampleToken ranks tokens by logit and then by id, for logits of any sign", () => {
    const random = seededRandom(7);
    for (let run = 0; run < 200; run++) {
      const some = Float32Array.from({ length: 40 }, () => [0, -0, 1e-42, -1e-42, -Infinity, 3, -3][random.integer(7)] ?? 0);
      some[random.integer(40)] = random.next() - 0.5;
      const never = [random.integer(40), random.integer(40)];
      const ranked = [...some.keys()].filter((id) => !never.includes(id)).sort((a, b) => (some[b] ?? 0) - (some[a] ?? 0) || a - b);
      // A tiny number draws the first of the likeliest tokens, and 1 the last of them.
      for (const k of [1, 2, 9]) {
        const draw = (at: number): number =>
          sampleToken(some, { ...all, top_k: k, temperature: 100 }, { next: () => at, integer: () => 0 }, never);
        const kept = ranked.slice(0, k);
        strictEqual(draw(0), kept[0]);
        strictEqual(draw(1), kept.at(-1));
      }
      strictEqual(sampleToken(some, greedy, random, never), ranked[0]);
    }
  });

  it("sampleToken never draws a forbidden token", () => {
    near(shares(all, [1]), [0.25, 0, 0.625, 0.125]);
    strictEqual(sampleToken(logits, greedy, seededRandom(1), [1]), 2);
  });

  it("sampleToken accepts finite logits of any size and rejects NaN", () => {
    strictEqual(sampleToken(Float32Array.from([1e30, -1e30, -Infinity]), all, seededRandom(1)), 0);
    throws(
      () => sampleToken(Float32Array.from([0, Number.NaN]), all, seededRandom(1)),
      (error) => error instanceof LapidaryError && error.code === "LAP_SAMPLE_NAN",
    );
  });
});

describe("generate", () => {
  /** A model that predicts n + 1 after n. */
  const counting = (tokens: readonly number[]): Promise<Float32Array> =>
    Promise.resolve(Float32Array.from({ length: 10 }, (_, id) => (id === (tokens.at(-1) ?? 0) + 1 ? 5 : 0)));
  const options = { prompt: [2, 3], maxTokens: 4, contextLength: 8, sampling: greedy, random: seededRandom(1), stopTokens: [1] };

  it("generate continues the prompt up to the length", async () => {
    const emitted: number[] = [];
    deepStrictEqual(await generate(counting, { ...options, onToken: (token) => emitted.push(token) }), {
      tokens: [4, 5, 6, 7],
      stoppedBy: "length",
    });
    deepStrictEqual(emitted, [4, 5, 6, 7]);
  });

  it("generate stops at a stop token and does not return it", async () =>
    deepStrictEqual(await generate(counting, { ...options, stopTokens: [1, 6] }), { tokens: [4, 5], stoppedBy: "eos", end: 6 }));

  it("the model reads the end of a text longer than its context", async () => {
    const seen: (readonly number[])[] = [];
    await generate((tokens) => (seen.push(tokens), counting(tokens)), { ...options, contextLength: 3 });
    deepStrictEqual(seen, [
      [2, 3],
      [2, 3, 4],
      [3, 4, 5],
      [4, 5, 6],
    ]);
  });

  it("the model always reads the pinned <bos> of a longer text", async () => {
    const seen: (readonly number[])[] = [];
    const of = { ...options, prompt: [2, 3, 4, 5, 6, 7], maxTokens: 2, pinnedTokens: 1 };
    for (const contextLength of [4, 1]) await generate((tokens) => (seen.push(tokens), counting(tokens)), { ...of, contextLength });
    deepStrictEqual(seen, [[2, 5, 6, 7], [2, 6, 7, 8], [7], [8]]);
  });

  it("the same seed gives the same text", async () => {
    const flat = (): Promise<Float32Array> => Promise.resolve(new Float32Array(10));
    const run = (seed: number): Promise<unknown> =>
      generate(flat, { ...options, maxTokens: 30, stopTokens: [], sampling: all, random: seededRandom(seed) });
    deepStrictEqual(await run(3), await run(3));
  });

  it("generate stops if its signal aborts", async () => {
    const stop = new AbortController();
    await rejects(
      generate((tokens) => (stop.abort(new Error("enough")), counting(tokens)), { ...options, signal: stop.signal }),
      /enough/,
    );
  });
});
