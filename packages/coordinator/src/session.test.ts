import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownTokenizerFile, trainTokenizer } from "@lapidary/tokenizer";
import { f32Array, fromTensor, i32Array, toTensor, writeHfCheckpoint } from "@lapidary/interop";
import { GraphBuilder, interpret } from "@lapidary/ir";
import { type ModelConfig, buildModel } from "@lapidary/models";
import { ensure, normalAt } from "@lapidary/std";
import { makeMesh, parseMesh } from "@lapidary/topology";
import { defaultRules, evalStep, greedy, paramName } from "@lapidary/training";
import { openSampler, openPool, openSession } from "@lapidary/trainer";
import { aliveOf } from "./testing/harness.js";

const config: ModelConfig = {
  vocabSize: 300,
  modelDim: 16,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 8,
  mlpDim: 32,
  contextLength: 16,
  ropeTheta: 10_000,
  normEps: 1e-6,
};
const model = buildModel(config);
const weights = new Map(
  model.params.map(({ name, dims }, key) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return [
      name,
      f32Array(
        dims,
        Float32Array.from({ length: size }, (_, i) => 0.2 * normalAt(key, i)),
      ),
    ] as const;
  }),
);

describe("a session", function () {
  this.timeout(60_000);

  it("a session runs graphs on a mesh with the results of one chip, and no process remains", async () => {
    const mesh = parseMesh("data=2,model=2");
    const graph = evalStep(model, { batch: 4, seq: 8 });
    const tokens = i32Array(
      [4, 8],
      Array.from({ length: 32 }, (_, i) => (i * 37) % 300),
    );
    const inputs = new Map([
      ...[...weights].map(([name, array]) => [paramName(name), array] as const),
      ["tokens", tokens],
      ["targets", tokens],
      ["mask", f32Array([4, 8], new Float32Array(32).fill(1))],
    ] as const);
    const session = await openSession({ mesh, workers: 2, rules: defaultRules(mesh, model.params), zero: 3, environment: process.env });
    const { pids } = session.group;
    try {
      const got = await session.run("eval", graph, inputs);
      const expected = interpret(graph, new Map([...inputs].map(([name, array]) => [name, toTensor(array)])));
      for (const [name, tensor] of expected)
        ok(Math.abs((got.get(name)?.data[0] ?? Number.NaN) - (fromTensor(tensor).data[0] ?? 0)) < 1e-3, name);
      strictEqual(session.workers, 2);
      ok(session.collectives("eval").some(({ op }) => op === "all_reduce"));
    } finally {
      await session.close();
    }
    deepStrictEqual(aliveOf(pids), []);
  });
});

describe("sessions on one pool", function () {
  this.timeout(60_000);

  it("sessions use the same workers one after the other on any mesh, and none remains when the pool is closed", async () => {
    const pool = await openPool({ environment: process.env, workers: 2 });
    const pids: number[][] = [];
    try {
      for (const mesh of [makeMesh({ data: 4 }), makeMesh({ data: 2, model: 2 })]) {
        const session = await openSession({ mesh, workers: 2, rules: { batch: ["data"] }, zero: 0, environment: process.env, pool });
        try {
          const g = new GraphBuilder("sum");
          const x = g.parameter("x", { dtype: "f32", dims: [4, 3] }, ["batch", null], "batch");
          g.output("y", g.reduce(x, [0], "sum"));
          const got = await session.run(
            "sum",
            g.finish(),
            new Map([
              [
                "x",
                f32Array(
                  [4, 3],
                  Float32Array.from({ length: 12 }, (_, i) => i),
                ),
              ],
            ]),
          );
          deepStrictEqual([...ensure(got.get("y"), "y").data], [18, 22, 26]);
          pids.push([...session.group.pids].sort());
        } finally {
          await session.close();
        }
      }
      deepStrictEqual(pids[1], pids[0]);
      deepStrictEqual(aliveOf(pids.flat()).length, 4);
    } finally {
      await pool.close();
    }
    deepStrictEqual(aliveOf(pids.flat()), []);
  });
});

describe("a sampler", function () {
  this.timeout(60_000);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-sampler-"));
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("a sampler writes text with the weights of a checkpoint: the same for the same seed, for any length of the row", async () => {
    await writeHfCheckpoint(directory, config, weights);
    await rejects(openSampler({ checkpoint: directory, environment: process.env }), { code: "LAP_CHECKPOINT_TOKENIZER" });
    const tokenizer = trainTokenizer(["a few words to learn a few pieces from"], { vocabSize: 300 });
    writeFileSync(join(directory, ownTokenizerFile), JSON.stringify(tokenizer));

    const texts: string[] = [];
    for (const context of [undefined, 12]) {
      const sampler = await openSampler({ checkpoint: directory, environment: process.env, ...(context === undefined ? {} : { context }) });
      try {
        let received = "";
        const { text } = await sampler.generate({
          prompt: "a few",
          tokens: 4,
          sampling: greedy,
          seed: 1,
          onText: (part) => (received += part),
        });
        strictEqual(received, text);
        texts.push(text);
      } finally {
        await sampler.close();
      }
    }
    strictEqual(texts[0], texts[1]);
  });

  it("a sampler writes several texts, and the text of a row depends only on its prompt and its seed", async () => {
    const sampler = await openSampler({ checkpoint: directory, environment: process.env, first: { rows: 4, promptTokens: 4 } });
    try {
      const prompts = ["a few", "", "words to learn", "pieces from a few words", "a", [sampler.tokenizer.control.bos ?? 0, 200]];
      const sampling = { temperature: 1, top_p: 0.95, top_k: 40 };
      const received = prompts.map(() => "");
      const onText = (text: string, row: number): void => void (received[row] += text);
      const many = await sampler.generateMany({ prompts, tokens: 6, sampling, seed: 10, batchRows: 4, onText });
      const single = [];
      for (const [row, prompt] of prompts.entries()) single.push(await sampler.generate({ prompt, tokens: 6, sampling, seed: 10 + row }));
      deepStrictEqual(many, single);
      deepStrictEqual(
        received,
        many.map(({ text }) => text),
      );
      ok(many.every(({ tokens, end }) => (end === "length" ? tokens === 6 : tokens < 6)));
      deepStrictEqual([many[1]?.promptTokens, many[5]?.promptTokens], [0, 1]);
      const stopped = new AbortController();
      const all = sampler.generateMany({ prompts, tokens: 6, sampling, seed: 10, signal: stopped.signal, onText: () => stopped.abort() });
      await rejects(all, { name: "AbortError" });
      // The rows that were aborted have left the batch.
      strictEqual((await sampler.generate({ prompt: "a few", tokens: 6, sampling, seed: 10 })).text, many[0]?.text);
    } finally {
      await sampler.close();
    }
  });
});
