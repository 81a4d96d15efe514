import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile } from "@lapidary/compiler";
import { type Graph, interpret, parametersOf, printSharding, type Tensor, tensor, verifyGraph } from "@lapidary/ir";
import { buildModel, modelConfigSchema } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { optimizerSchema } from "../optimizer/optimizer-config.js";
import { prefillProgram } from "./generate-programs.js";
import { initProgram } from "./init-program.js";
import {
  type DrawSettings,
  drawKeys,
  gatheredName,
  gatherRollout,
  rolloutDecode,
  rolloutPrefill,
  type RolloutShape,
} from "./rollout-programs.js";
import { paramName } from "./train-state.js";

const vocabSize = 13;
const model = buildModel(
  modelConfigSchema.parse({ vocabSize, modelDim: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, mlpDim: 12, contextLength: 12 }),
);
const weights = new Map(
  [...interpret(initProgram(model, optimizerSchema.parse({ name: "sgd", lr: 1 }), 1), new Map())].filter(([name]) => name !== "step"),
);
const arrayOf = (out: ReadonlyMap<string, Tensor>, name: string): Tensor => ensure(out.get(name), name);
const vector = (values: Iterable<number>): Tensor => {
  const list = [...values];
  return tensor("i32", [list.length], list);
};

interface DrawnRollout {
  readonly completions: readonly number[][];
  readonly logps: readonly number[][];
  /** Completions that have not ended, after each token. */
  readonly running: readonly number[];
}

const split = ({ data, dims }: Tensor): number[][] =>
  Array.from({ length: dims[0] ?? 0 }, (_, row) => [...data].slice(row * (dims[1] ?? 0), (row + 1) * (dims[1] ?? 0)));

/** A rollout by the interpreter. */
function roll(prompts: readonly (readonly number[])[], shape: RolloutShape, settings: DrawSettings, rollout = 0): DrawnRollout {
  const [prefill, decode] = [rolloutPrefill(model, shape, settings), rolloutDecode(model, shape, settings)];
  const tokens = tensor(
    "i32",
    [prompts.length, shape.prompt],
    prompts.flatMap((prompt) => [...Array.from({ length: shape.prompt - prompt.length }, () => 0), ...prompt]),
  );
  const starts = prompts.map((prompt) => shape.prompt - prompt.length);
  const first = vector(starts.flatMap((start) => Array.from({ length: shape.generations }, () => start)));
  const keys = vector(drawKeys(7, rollout, shape.newTokens));
  let out = interpret(prefill, new Map([...weights, ["tokens", tokens], ["prompt_first", vector(starts)], ["keys", keys]]));
  const running = [ensure(arrayOf(out, "running").data[0], "running")];
  for (let index = 1; index < shape.newTokens; index++) {
    out = interpret(decode, new Map([...weights, ...out, ["first", first], ["keys", keys]]));
    running.push(ensure(arrayOf(out, "running").data[0], "running"));
  }
  return { completions: split(arrayOf(out, "completions")), logps: split(arrayOf(out, "logps")), running };
}

const draw: DrawSettings = { temperature: 1, stopTokens: [3] };

/** log softmax(logits / temperature) of the token after a prompt. */
function logProbsAfter(prompt: readonly number[], temperature: number): number[] {
  const graph: Graph = prefillProgram(model, { batch: 1, positions: prompt.length, prompt: prompt.length });
  const tokens = tensor("i32", [1, prompt.length], [...prompt]);
  const logits = [...arrayOf(interpret(graph, new Map([...weights, ["tokens", tokens], ["first", vector([0])]])), "logits").data];
  const scaled = logits.map((logit) => logit / temperature);
  const logSum = Math.log(scaled.reduce((sum, x) => sum + Math.exp(x), 0));
  return scaled.map((x) => x - logSum);
}

describe("rollout programs", () => {
  it("gathered weights equal the weights, and ZeRO-3 does not split them", () => {
    const graph = gatherRollout(model);
    const gathered = interpret(graph, weights);
    for (const { name } of model.params)
      deepStrictEqual(arrayOf(gathered, gatheredName(name)).data, arrayOf(weights, paramName(name)).data);
    const mesh = makeMesh({ data: 2, model: 2 });
    const { chip } = compile(graph, { mesh, rules: { mlp: "model" }, zero: { stage: 3, axes: ["data"] } });
    const axesOf = (id: number): string => printSharding(mesh, ensure(ensure(chip.values[id], "value").sharding, "sharding"));
    ok(parametersOf(chip).every(({ id }) => axesOf(id).includes("data")));
    ok(
      chip.outputs.every(({ value }) => !axesOf(value).includes("data")) &&
        chip.outputs.some(({ value }) => axesOf(value).includes("model")),
    );
  });

  it("the programs of a rollout are valid graphs", () => {
    const shape = { batch: 2, generations: 1, prompt: 3, newTokens: 4 };
    verifyGraph(rolloutPrefill(model, shape, draw));
    verifyGraph(rolloutDecode(model, shape, draw));
  });

  for (const temperature of [1, 0.5, 2])
    it(`the first tokens of 4,000 completions have the distribution of the logits at temperature ${temperature}`, () => {
      const batch = 4000;
      const prompt = [2, 5];
      const { completions } = roll(
        Array.from({ length: batch }, () => prompt),
        { batch, generations: 1, prompt: 2, newTokens: 1 },
        { ...draw, temperature },
      );
      const expected = logProbsAfter(prompt, temperature).map((logp) => batch * Math.exp(logp));
      const observed = expected.map((_, token) => completions.filter(([first]) => first === token).length);
      const chiSquare = expected.reduce((sum, count, token) => sum + (ensure(observed[token], "count") - count) ** 2 / count, 0);
      // 12 degrees of freedom: a correct generator exceeds 32.9 with probability 0.001.
      ok(chiSquare < 32.9, `chi-square ${chiSquare}: ${observed.join()} for ${expected.map((count) => count.toFixed(0)).join()}`);
    }).timeout(120_000);

  it("the log-probability of each token is that of the whole sequence before it", () => {
    const temperature = 0.7;
    const prompts = [
      [2, 5, 7],
      [2, 9],
    ];
    const { completions, logps } = roll(prompts, { batch: 2, generations: 1, prompt: 3, newTokens: 5 }, { temperature, stopTokens: [] });
    completions.forEach((completion, row) => {
      completion.forEach((token, index) => {
        const before = [...ensure(prompts[row], "prompt"), ...completion.slice(0, index)];
        const expected = ensure(logProbsAfter(before, temperature)[token], "log-probability");
        ok(Math.abs(ensure(logps[row]?.[index], "log-probability") - expected) < 1e-9);
      });
    });
  });

  it("a completion has its stop token, and padding after it", () => {
    const batch = 40;
    const prompts = Array.from({ length: batch }, (_, row) => [2, 4 + (row % 9)]);
    const { completions, logps, running } = roll(prompts, { batch, generations: 1, prompt: 2, newTokens: 12 }, draw);
    let ended = 0;
    completions.forEach((completion, row) => {
      const stop = completion.indexOf(3);
      if (stop < 0) return;
      ended++;
      deepStrictEqual(
        completion.slice(stop + 1),
        completion.slice(stop + 1).map(() => 0),
      );
      deepStrictEqual(
        logps[row]?.map((logp) => logp !== 0),
        completion.map((_, index) => index <= stop),
      );
    });
    ok(ended > 5 && ended < batch, `${ended} of ${batch} completions ended`);
    strictEqual(running.at(-1), batch - ended);
    deepStrictEqual(
      running,
      [...running].sort((a, b) => b - a),
    );
  });

  it("completions to one prompt are those of rows that repeat it", () => {
    const prompts = [
      [2, 5, 7],
      [2, 9],
    ];
    const shape = { batch: 6, generations: 3, prompt: 3, newTokens: 5 };
    const repeated = prompts.flatMap((prompt) => [prompt, prompt, prompt]);
    deepStrictEqual(roll(prompts, shape, draw), roll(repeated, { ...shape, generations: 1 }, draw));
  });

  it("temperature 0 draws the likeliest tokens", () => {
    const { completions } = roll([[2, 5]], { batch: 1, generations: 1, prompt: 2, newTokens: 3 }, { temperature: 0, stopTokens: [] });
    const expected: number[] = [];
    for (let index = 0; index < 3; index++) {
      const logps = logProbsAfter([2, 5, ...expected], 1);
      expected.push(logps.indexOf(Math.max(...logps)));
    }
    deepStrictEqual(completions, [expected]);
  });

  it("a rollout is a function of its number, and padding of the prompts does not change it", () => {
    const shape = { batch: 3, generations: 1, prompt: 2, newTokens: 6 };
    const prompts = [
      [2, 5],
      [2, 6],
      [2, 5],
    ];
    const settings = { temperature: 1, stopTokens: [] };
    const one = roll(prompts, shape, settings, 4);
    deepStrictEqual(one, roll(prompts, shape, settings, 4));
    deepStrictEqual(one.completions, roll(prompts, { ...shape, prompt: 5 }, settings, 4).completions);
    notDeepStrictEqual(one.completions, roll(prompts, shape, settings, 5).completions);
    // Equal prompts have noise of their own.
    notDeepStrictEqual(one.completions[0], one.completions[2]);
  });
});
