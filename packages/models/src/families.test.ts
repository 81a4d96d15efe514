import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, interpret, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import fc from "fast-check";
import {
  buildModel,
  cacheArrays,
  canonicalConfig,
  decode,
  layerPeriodOf,
  layerTypesOf,
  logitsOf,
  type ModelConfig,
  modelConfigSchema,
  paramsOf,
  prefill,
  ropeFrequency,
} from "./index.js";
import { balanceLoss, route } from "./layers/routing.js";
import { ropeTables } from "./layers/rope.js";
import { windowBlocks } from "./layers/window-blocks.js";
import { evaluate, ints, maxAbsDifference, normals } from "./testing.js";

const shape = { vocabSize: 11, modelDim: 8, layers: 2, heads: 4, kvHeads: 2, headDim: 4, mlpDim: 10, contextLength: 16 };
const llama3 = { kind: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 64 } as const;
const config = (fields: object): ModelConfig => modelConfigSchema.parse({ ...shape, ...fields });

/** One configuration of each family, with the options that it has. */
const examples: Readonly<Record<string, ModelConfig>> = {
  gemma2: config({ family: "gemma2", queryScalar: 7, attentionCap: 2, logitCap: 3, window: 3, layerTypes: ["window", "full"] }),
  gemma3: config({
    family: "gemma3",
    window: 2,
    layerTypes: ["window", "full"],
    ropeScaling: { kind: "linear", factor: 8 },
    windowRope: { theta: 100 },
  }),
  llama: config({ family: "llama", ropeTheta: 1000, ropeScaling: llama3 }),
  mistral: config({ family: "mistral", window: 3 }),
  qwen3: config({ family: "qwen3", tied: true }),
  mixtral: config({ family: "mixtral", experts: { count: 3, perToken: 2, mlpDim: 10 } }),
  qwen3moe: config({ family: "qwen3moe", experts: { count: 4, perToken: 1, mlpDim: 6, every: 2, normalize: false } }),
};

const weightsOf = (model: ModelConfig): Map<string, Tensor> =>
  new Map(paramsOf(model).map(({ name, dims }, i) => [name, normals(i + 1, dims, 0.5)]));

function run(
  model: ModelConfig,
  inputs: ReadonlyMap<string, Tensor>,
  build: (g: GraphBuilder, of: (name: string) => Value) => void,
): ReadonlyMap<string, Tensor> {
  const g = new GraphBuilder("test");
  const all = new Map([...weightsOf(model), ...inputs]);
  const values = new Map([...all].map(([name, t]) => [name, g.parameter(name, tensorType(t.dtype, t.dims))]));
  build(g, (name) => ensure(values.get(name), name));
  return interpret(g.finish(), all);
}

const paramValues = (model: ModelConfig, of: (name: string) => Value): Map<string, Value> =>
  new Map(paramsOf(model).map(({ name }) => [name, of(name)]));

function logits(model: ModelConfig, tokens: Tensor): Tensor {
  const out = run(model, new Map([["tokens", tokens]]), (g, of) =>
    g.output("logits", logitsOf(buildModel(model), g, paramValues(model, of), of("tokens"))),
  );
  return ensure(out.get("logits"), "logits");
}

/** The positions of the only row whose logits differ. */
const changedPositions = (a: Tensor, b: Tensor): number[] =>
  Array.from({ length: a.dims[1] ?? 0 }, (_, t) => t).filter((t) =>
    a.data.subarray(t * shape.vocabSize, (t + 1) * shape.vocabSize).some((x, i) => x !== b.data[t * shape.vocabSize + i]),
  );

describe("families of models", () => {
  it("a window of w ends the influence of a token after w - 1 later positions in one layer, and after n(w - 1) in n", () => {
    const tokens = (first: number): Tensor => ints([1, 8], [2, first, 4, 5, 6, 7, 8, 9]);
    for (const [layers, last] of [
      [1, 3],
      [2, 5],
    ] as const) {
      const model = { ...ensure(examples["mistral"], "mistral"), layers };
      deepStrictEqual(
        changedPositions(logits(model, tokens(3)), logits(model, tokens(10))),
        Array.from({ length: last }, (_, i) => i + 1),
      );
    }
  });

  it("only layers of type window have a window", () => {
    const types = ["window", "full"] as const;
    const model = config({ family: "gemma2", layers: 2, window: 2, layerTypes: [...types] });
    deepStrictEqual(
      changedPositions(logits(model, ints([1, 6], [2, 3, 4, 5, 6, 7])), logits(model, ints([1, 6], [9, 3, 4, 5, 6, 7]))),
      [0, 1, 2, 3, 4, 5],
    );
  });

  it("attention in blocks gives the logits of attention to all keys, and computes fewer scores", () => {
    const scoresOf = (T: number, window: number, inBlocks: boolean): { scores: number; logits: Tensor } => {
      const model = config({ family: "gemma3", window, layerTypes: ["window", "full"], windowRope: { theta: 100 }, contextLength: 64 });
      let scores = 0;
      const tokens = ints(
        [2, T],
        Array.from({ length: 2 * T }, (_, i) => (i * 7) % shape.vocabSize),
      );
      const out = run(model, new Map([["tokens", tokens]]), (g, of) => {
        const type = tensorType("i32", [2, T, T]);
        const bias = tensorType("f32", type.dims);
        const causal = g.select(g.compare(g.iota(type, 2), g.iota(type, 1), "LE"), g.splat(0, bias), g.splat(-1e30, bias));
        const options = inBlocks ? {} : { attentionBias: causal };
        const logitsValue = logitsOf(buildModel(model), g, paramValues(model, of), of("tokens"), options);
        g.output("logits", logitsValue);
        for (const { name, type: array } of g.finish().values)
          if (name === "layers.0.attn.scores") scores = array.dims.reduce((a, b) => a * b, 1);
      });
      return { scores, logits: ensure(out.get("logits"), "logits") };
    };
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 24 }), fc.integer({ min: 1, max: 26 }), (T, window) => {
        ok(maxAbsDifference(scoresOf(T, window, true).logits, scoresOf(T, window, false).logits) < 1e-9);
      }),
      { numRuns: 30 },
    );
    deepStrictEqual([scoresOf(24, 3, true).scores, scoresOf(24, 3, false).scores], [2 * 4 * 24 * 3, 2 * 4 * 24 * 24]);
  });

  it("blocks cover the window with the fewest keys, or there are none", () => {
    deepStrictEqual(windowBlocks(8192, 512), { count: 32, length: 256, previous: 2 });
    deepStrictEqual(windowBlocks(8192, 4096), { count: 4, length: 2048, previous: 2 });
    deepStrictEqual(windowBlocks(4096, 4096), undefined);
    deepStrictEqual(windowBlocks(7, 2), { count: 7, length: 1, previous: 1 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 300 }), (positions, window) => {
        const blocks = windowBlocks(positions, window);
        fc.pre(blocks !== undefined);
        strictEqual(blocks.count * blocks.length, positions);
        ok(blocks.previous * blocks.length >= window - 1 && (blocks.previous + 1) * blocks.length < positions);
      }),
    );
  });

  it("logits never exceed their cap", () => {
    const model = ensure(examples["gemma2"], "gemma2");
    const weights = 3;
    ok(logits(model, ints([1, 4], [2, 3, 4, 5])).data.every((x) => Math.abs(x) <= weights));
    ok(logits({ ...model, logitCap: undefined }, ints([1, 4], [2, 3, 4, 5])).data.some((x) => Math.abs(x) > weights));
  });

  for (const [name, model] of Object.entries(examples))
    it(`generation with a cache gives the logits of whole texts, padded or not: ${name}`, () => {
      const built = buildModel(model);
      const texts = [
        [2, 3, 4, 5, 6, 7],
        [8, 9, 10, 2],
      ];
      const [P, S] = [4, 7];
      // The second prompt is shorter by two tokens, so it is padded on the left.
      const prompts = ints([2, P], [...(texts[0] ?? []).slice(0, 4), 0, 0, 8, 9]);
      const first = ints([2], [0, 2]);
      const start = run(
        model,
        new Map([
          ["tokens", prompts],
          ["first", first],
        ]),
        (g, of) => {
          const { logits: last, cache } = prefill(g, built, paramValues(model, of), {
            tokens: of("tokens"),
            first: of("first"),
            positions: S,
          });
          g.output("logits", last);
          for (const [array, value] of cache) g.output(array, value);
        },
      );
      const expected = (tokens: readonly number[]): number[] => {
        const all = logits(model, ints([1, tokens.length], tokens));
        return [...all.data.slice((tokens.length - 1) * shape.vocabSize)];
      };
      const check = (got: ReadonlyMap<string, Tensor>, lengths: readonly [number, number]): void => {
        const want = texts.flatMap((text, row) => expected(text.slice(0, lengths[row])));
        ok(maxAbsDifference(ensure(got.get("logits"), "logits"), tensor("f32", [2, shape.vocabSize], want)) < 1e-9);
      };
      check(start, [4, 2]);
      let state = start;
      for (let step = 0; step < 2; step++) {
        const next = ints([2], [ensure(texts[0]?.[4 + step], "token"), ensure(texts[1]?.[2 + step], "token")]);
        const cache = cacheArrays(built, { batch: 2, positions: S }).map(({ name: array }): [string, Tensor] => [
          array,
          ensure(state.get(array), array),
        ]);
        state = run(model, new Map([...cache, ["token", next], ["first", first], ["position", ints([], [P + step])]]), (g, of) => {
          const values = new Map(cache.map(([array]) => [array, of(array)]));
          const out = decode(g, built, paramValues(model, of), {
            token: of("token"),
            position: of("position"),
            first: of("first"),
            cache: values,
          });
          g.output("logits", out.logits);
          for (const [array, value] of out.cache) g.output(array, value);
        });
        check(state, [5 + step, 3 + step]);
      }
    });

  it("the frequencies in the graph are those of the formula, for every scaling", () => {
    for (const scaling of [undefined, { kind: "linear", factor: 8 } as const, llama3]) {
      const rope = { theta: 1000, scaling };
      const E = 16;
      const cos = evaluate({ x: normals(1, [1]) }, (g) => ropeTables(g, { positions: 3 }, E, rope).cos);
      const expected = Array.from({ length: 3 * E }, (_, n) => Math.cos(Math.floor(n / E) * ropeFrequency(rope, n % (E / 2), E)));
      ok(maxAbsDifference(cos, tensor("f32", [3, E], expected)) < 1e-9);
    }
  });

  it("llama3 divides long waves by the factor and keeps short ones", () => {
    const rope = { theta: 1e6, scaling: llama3 };
    strictEqual(ropeFrequency(rope, 0, 16), 1);
    strictEqual(ropeFrequency(rope, 7, 16), 1e6 ** (-14 / 16) / 8);
  });

  it("the canonical configuration has the shortest period of layer types, and the same layers", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("full", "window"), { minLength: 1, maxLength: 9 }),
        fc.integer({ min: 1, max: 12 }),
        (layerTypes, layers) => {
          const model = config({ family: "gemma2", window: 3, layerTypes, layers });
          const canonical = canonicalConfig(model);
          deepStrictEqual(layerTypesOf(canonical), layerTypesOf(model));
          deepStrictEqual(
            canonicalConfig(config({ ...canonical, ...(canonical.window === undefined ? {} : { layerTypes: layerTypesOf(model) }) })),
            canonical,
          );
        },
      ),
    );
  });

  it("the router chooses the k most probable experts, and of equal ones the first", () => {
    const logits = tensor("f32", [1, 3, 4], [1, 3, 2, 0, 5, 5, 5, 5, 0, 1, 1, 1]);
    const chosen = evaluate({ logits }, (g, v) => route(g, v("logits"), 2).chosen);
    deepStrictEqual([...chosen.data], [0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.integer(), (count, some, key) => {
        const perToken = Math.min(count, some);
        const { data } = evaluate({ logits: normals(key, [1, 5, count]) }, (g, v) => route(g, v("logits"), perToken).chosen);
        for (let t = 0; t < 5; t++)
          strictEqual(
            data.subarray(t * count, (t + 1) * count).reduce((a, b) => a + b),
            perToken,
          );
      }),
    );
  });

  it("the balance loss multiplies sums over all layers, and is 1 times k for balanced experts", () => {
    const inputs = { a: tensor("f32", [1, 2, 2], [0.9, 0.1, 0.8, 0.2]), b: tensor("f32", [1, 2, 2], [0.1, 0.9, 0.2, 0.8]) };
    const loss = (names: readonly ("a" | "b")[]): number =>
      ensure(
        evaluate(inputs, (g, v) =>
          balanceLoss(
            g,
            names.map((name) => ({
              probabilities: v(name),
              chosen: g.select(g.compare(v(name), g.splat(0.5, v(name).type), "GT"), g.splat(1, v(name).type), g.splat(0, v(name).type)),
            })),
          ),
        ).data[0],
        "loss",
      );
    ok(Math.abs(loss(["a"]) - 2 * 0.85) < 1e-12);
    ok(Math.abs(loss(["a", "b"]) - 1) < 1e-12);
  });

  it("a configuration has only the options of its family", () => {
    const issues = (fields: object): string[] =>
      (modelConfigSchema.safeParse({ ...shape, ...fields }).error?.issues ?? []).map(({ path }) => path.join("."));
    deepStrictEqual(issues({ logitCap: 3 }), ["logitCap"]);
    deepStrictEqual(issues({ family: "llama", window: 3 }), ["window"]);
    deepStrictEqual(issues({ family: "llama", experts: { count: 4, perToken: 2, mlpDim: 10 } }), ["experts"]);
    deepStrictEqual(issues({ family: "qwen3moe" }), ["experts"]);
    deepStrictEqual(issues({ family: "mixtral", experts: { count: 4, perToken: 2, mlpDim: 10, every: 2 } }), ["experts"]);
    deepStrictEqual(issues({ family: "mixtral", experts: { count: 4, perToken: 5, mlpDim: 10 } }), ["experts.perToken"]);
    deepStrictEqual(issues({ family: "gemma2", layerTypes: ["window"] }), ["window"]);
    deepStrictEqual(issues({ family: "qwen3", fusedProjections: true }), ["fusedProjections", "fusedProjections"]);
    deepStrictEqual(issues({ family: "llama", ropeScaling: { ...llama3, highFreqFactor: 1 } }), ["ropeScaling.highFreqFactor"]);
  });

  it("layerPeriodOf counts windows and experts, and all layers if the kinds do not repeat", () => {
    const layers = (fields: object): ModelConfig => config({ layers: 12, ...fields });
    const experts = { count: 4, perToken: 1, mlpDim: 6 };
    strictEqual(layerPeriodOf(layers({ family: "llama" })), 1);
    strictEqual(layerPeriodOf(layers({ family: "gemma3", window: 2, layerTypes: ["window", "window", "full"] })), 3);
    strictEqual(layerPeriodOf(layers({ family: "qwen3moe", experts: { ...experts, every: 2 } })), 2);
    strictEqual(layerPeriodOf(layers({ family: "qwen3moe", experts: { ...experts, denseLayers: [0] } })), 12);
  });
});
