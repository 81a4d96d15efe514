import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { f32Array } from "@lapidary/interop";
import { type ModelConfig, buildModel } from "@lapidary/models";
import { ensure, normalAt, seededRandom } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { generate, greedy, nextTokenLogits, paramName } from "@lapidary/training";
import { NextToken } from "../execution/next-token.js";
import { openSession, type Session } from "../session.js";
import { GenerationBatch, type GenerationSeat } from "./generation-batch.js";

const context = 24;
const config: ModelConfig = {
  vocabSize: 50,
  modelDim: 16,
  layers: 2,
  heads: 4,
  kvHeads: 1,
  headDim: 8,
  mlpDim: 32,
  contextLength: context,
  ropeTheta: 10_000,
  normEps: 1e-6,
};
const model = buildModel(config);

/** Random sequences of the given lengths. */
const sequences = (lengths: readonly number[], seed: number): number[][] => {
  const random = seededRandom(seed);
  return lengths.map((length) => Array.from({ length }, () => random.integer(config.vocabSize)));
};

const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[i] ?? Number.NaN))), 0);

describe("a generation batch", function () {
  this.timeout(120_000);
  let session: Session;
  /** Recomputes every sequence as a whole. */
  let whole: NextToken;

  before(async () => {
    session = await openSession({ mesh: makeMesh({ data: 1 }), workers: 1, rules: {}, zero: 0, environment: process.env });
    const program = await session.group.load(session.compile("next_token", nextTokenLogits(model, { batch: 1, seq: context })));
    for (const [key, { name, dims }] of model.params.entries()) {
      const size = dims.reduce((a, b) => a * b, 1);
      const values = Float32Array.from({ length: size }, (_, i) => 0.3 * normalAt(key, i));
      await session.group.put(session.group.parameter(program, paramName(name)), f32Array(dims, values));
    }
    whole = new NextToken(session.group, program);
  });
  after(() => session.close());

  let batch: GenerationBatch;
  beforeEach(() => {
    batch = new GenerationBatch(session, model, context);
  });
  afterEach(() => batch.close());

  const checkLogits = async (seats: readonly GenerationSeat[], texts: readonly (readonly number[])[]): Promise<void> => {
    const logits = await Promise.all(seats.map((seat, i) => seat.logits(ensure(texts[i], "text"))));
    for (const [i, text] of texts.entries()) {
      const far = distance(ensure(logits[i], "logits"), await whole.logits(text));
      ok(far < 1e-5, `row ${i} of ${texts.length}, ${text.length} tokens, ${JSON.stringify(batch.steps)}: ${far}`);
    }
  };

  /** Appends one random token to every text. */
  const extend = (texts: readonly number[][], seed: number): void => {
    const added = sequences(
      texts.map(() => 1),
      seed,
    ).flat();
    for (const [i, text] of texts.entries()) text.push(ensure(added[i], "token"));
  };

  for (const rows of [1, 2, 3, 5, 8])
    it(`cached logits of ${rows} ragged rows equal the logits of the whole sequences`, async () => {
      const seats = Array.from({ length: rows }, () => batch.join());
      const texts = sequences(
        seats.map((_, i) => 1 + ((i * 5) % 17)),
        rows,
      );
      for (let step = 0; step < 6; step++) {
        await checkLogits(seats, texts);
        extend(texts, 100 + step);
      }
      deepStrictEqual(batch.steps, { prefill: 1, decode: 5 });
      for (const seat of seats) seat.leave();
    });

  it("the batch computes all sequences again when the cache is full, and then continues to decode", async () => {
    const long = new GenerationBatch(session, buildModel({ ...config, contextLength: 200 }), 200);
    const seats = [long.join(), long.join()];
    const texts = sequences([3, 1], 7);
    const longWhole = new NextToken(
      session.group,
      await session.group.load(session.compile("next_token 200", nextTokenLogits(model, { batch: 1, seq: 200 }))),
    );
    for (let step = 0; step < 130; step++) {
      const logits = await Promise.all(seats.map((seat, i) => seat.logits(ensure(texts[i], "text"))));
      if (step % 16 === 0 || step > 120)
        for (const [i, text] of texts.entries()) {
          const far = distance(ensure(logits[i], "logits"), await longWhole.logits(text));
          ok(far < 1e-5, `step ${step}, row ${i}: ${far}`);
        }
      extend(texts, 300 + step);
    }
    deepStrictEqual(long.steps, { prefill: 2, decode: 128 });
    for (const seat of seats) seat.leave();
    await long.close();
  });

  it("a row that leaves does not change the other rows, and the batch does not wait for it", async () => {
    const seats = [batch.join(), batch.join(), batch.join()];
    const texts = sequences([4, 9, 2], 11);
    await checkLogits(seats, texts);
    extend(texts, 12);
    await checkLogits(seats, texts);
    // The other seats have requests when the second one leaves.
    const [first, left, last] = seats;
    extend(texts, 13);
    const rest = [texts[0], texts[2]].map((text) => ensure(text, "text"));
    const checked = checkLogits([ensure(first, "seat"), ensure(last, "seat")], rest);
    left?.leave();
    await checked;
    extend(rest, 14);
    await checkLogits([ensure(first, "seat"), ensure(last, "seat")], rest);
    deepStrictEqual(batch.steps, { prefill: 1, decode: 3 });
    for (const seat of seats) seat.leave();
  });

  it("a row that joins leads to one prefill of all rows", async () => {
    const seats = [batch.join()];
    const texts = sequences([5], 21);
    await checkLogits(seats, texts);
    extend(texts, 22);
    seats.push(batch.join());
    texts.push(...sequences([12], 23));
    await checkLogits(seats, texts);
    extend(texts, 24);
    await checkLogits(seats, texts);
    deepStrictEqual(batch.steps, { prefill: 2, decode: 1 });
    for (const seat of seats) seat.leave();
  });

  it("a sequence that fills the context moves its window, and the other rows stay correct", async () => {
    const tokens = sequences([context - 3, 6], 31);
    const run = (next: Pick<GenerationSeat, "logits">, prompt: readonly number[]): ReturnType<typeof generate> =>
      generate((row) => next.logits(row), {
        prompt,
        pinnedTokens: 1,
        maxTokens: 9,
        contextLength: context,
        sampling: greedy,
        random: seededRandom(1),
        stopTokens: [],
      });
    const seats = tokens.map(() => batch.join());
    const cached = await Promise.all(
      tokens.map(async (prompt, i) => {
        const seat = ensure(seats[i], "seat");
        try {
          return (await run(seat, prompt)).tokens;
        } finally {
          seat.leave();
        }
      }),
    );
    const expected = [];
    for (const prompt of tokens) expected.push((await run(whole, prompt)).tokens);
    deepStrictEqual(cached, expected);
    // Four windows of the first row begin at its first token. Each of the other five has moved and needs a prefill.
    deepStrictEqual(batch.steps, { prefill: 6, decode: 3 });
  });

  it("greedy tokens and the tokens of a seed are the same in a batch of any size and without a cache", async () => {
    const prompts = sequences([3, 11, 1, 7, 5, 2, 9, 4], 41);
    for (const sampling of [greedy, { temperature: 1, top_p: 0.9, top_k: 20 }]) {
      const run = (next: Pick<GenerationSeat, "logits">, i: number): ReturnType<typeof generate> =>
        generate((row) => next.logits(row), {
          prompt: ensure(prompts[i], "prompt"),
          maxTokens: 8,
          contextLength: context,
          sampling,
          random: seededRandom(50 + i),
          stopTokens: [0, 1],
        });
      const expected = [];
      for (const i of prompts.keys()) expected.push((await run(whole, i)).tokens);
      for (const rows of [1, 3, 8]) {
        for (let from = 0; from < prompts.length; from += rows) {
          const texts = await Promise.all(
            [...prompts.keys()].slice(from, from + rows).map(async (i) => {
              const seat = batch.join();
              try {
                return (await run(seat, i)).tokens;
              } finally {
                seat.leave();
              }
            }),
          );
          deepStrictEqual(texts, expected.slice(from, from + rows), `${rows} rows`);
        }
      }
    }
  });

  it("all seats receive the error of a failed step", async () => {
    const own = await openSession({ mesh: makeMesh({ data: 1 }), workers: 1, rules: {}, zero: 0, environment: process.env });
    const failing = new GenerationBatch(own, model, context);
    // The session has no weights.
    const seats = [failing.join(), failing.join()];
    try {
      const results = await Promise.allSettled(seats.map((seat) => seat.logits([1, 2])));
      deepStrictEqual(
        results.map(({ status }) => status),
        ["rejected", "rejected"],
      );
      for (const seat of seats) seat.leave();
      await rejects(failing.join().logits([1]));
    } finally {
      await own.close();
    }
    strictEqual(failing.steps.decode, 0);
  });
});
