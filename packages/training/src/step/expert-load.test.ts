import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { compile, gradients } from "@lapidary/compiler";
import { runChips } from "@lapidary/compiler/testing";
import { type Graph, GraphBuilder, interpret, parametersOf, sizeOf, type Tensor, tensor, tensorType } from "@lapidary/ir";
import { balanceLoss, buildModel, type Model, modelConfigSchema, route } from "@lapidary/models";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import fc from "fast-check";
import { overflowShare } from "../job/expert-plan.js";
import { defaultRules } from "../job/default-rules.js";
import { stepFlops } from "../job/model-flops.js";
import { compileOptions } from "../job/resolved-job.js";
import { expertMetricNames } from "./expert-load.js";
import { trainStep } from "./train-step.js";

const mixture = modelConfigSchema.parse({
  family: "mixtral",
  ...{ vocabSize: 12, modelDim: 8, layers: 2, heads: 2, kvHeads: 2, headDim: 4, mlpDim: 6, contextLength: 8 },
  experts: { count: 4, perToken: 2, mlpDim: 6, auxWeight: 0.1 },
});
const [batch, seq] = [4, 8];
const dispatch = { kind: "capacity", capacityFactor: 0.75 } as const;
const optimizer = { name: "sgd", lr: 0.1, weight_decay: 0 } as const;
const model = buildModel(mixture, { dispatch });
const stepOf = (of: Model): Graph =>
  trainStep(of, { steps: 1, optimizer, schedule: { name: "constant", warmup: 0 } }, { batch, seq }, { withGradients: true });
const step = stepOf(model);

function randomInputs(graph: Graph): Map<string, Tensor> {
  const random = seededRandom(3);
  return new Map(
    parametersOf(graph).map(({ attrs: { name }, type }) => {
      const draw = (): number => (type.dtype === "i32" ? random.integer(mixture.vocabSize) : name === "mask" ? 1 : random.next() - 0.5);
      return [name, tensor(type.dtype, type.dims, Float64Array.from({ length: sizeOf(type.dims) }, draw))];
    }),
  );
}

/** The auxiliary loss of two layers of experts, and its gradients. */
function balanceGraph(): Graph {
  const g = new GraphBuilder("balance");
  const x = g.parameter("x", tensorType("f32", [16, 8, 4]), ["batch", "activation_seq", "activation_embed"], "batch");
  const routers = [0, 1].map((layer) => g.parameter(`router.${layer}`, tensorType("f32", [4, 4]), ["experts", "embed"], "param"));
  const loss = balanceLoss(
    g,
    routers.map((router) => route(g, g.dotGeneral(x, router, [], [[2, 1]]), 2)),
  );
  g.output("loss", loss);
  gradients(g, loss, routers).forEach((gradient, i) => g.output(`gradient.${i}`, gradient));
  return g.finish();
}

describe("the load of experts", () => {
  const inputs = randomInputs(step);
  const whole = interpret(step, inputs);
  let dense: ReturnType<typeof interpret> | undefined;
  const scalar = (out: ReadonlyMap<string, Tensor>, name: string): number => ensure(ensure(out.get(name), name).data[0], name);

  it("a step counts every choice, and reports the share that its capacity drops", () => {
    const each = Array.from({ length: 4 }, (_, e) => e);
    const [chosen, dropped] = (["tokens", "dropped"] as const).map((kind) =>
      each.reduce((sum, e) => sum + scalar(whole, `expert_${kind}.${e}`), 0),
    ) as [number, number];
    strictEqual(chosen, 2 * 2 * batch * seq);
    ok(dropped > 0 && dropped < chosen);
    strictEqual(scalar(whole, "expert_dropped_share"), dropped / chosen);
    for (const name of expertMetricNames(mixture, { dispatch })) ok(whole.has(name), name);
    deepStrictEqual(expertMetricNames({ experts: undefined }, {}), []);
  });

  for (const axes of [{ expert: 4 }, { expert: 2, data: 2 }, { data: 2, expert: 2, context: 2 }, { data: 2, model: 2 }])
    it(`loss, gradients and dropped choices are those of one chip on ${JSON.stringify(axes)}`, () => {
      const mesh = makeMesh(axes);
      const rules = defaultRules(mesh, model.params);
      const program = compile(step, compileOptions({ mesh: mesh.axes, rules, zero: 3 }, step));
      const out = runChips(program.chip, inputs);
      for (const [name, expected] of whole) {
        const actual = ensure(out.get(name), name);
        actual.data.forEach((value, i) => ok(Math.abs(value - ensure(expected.data[i], name)) < 1e-9, `${name} ${i}`));
      }
    });

  for (const axes of [{ expert: 4 }, { data: 2, expert: 2, model: 2 }, { expert: 2, context: 2 }])
    it(`without a capacity, loss and gradients on ${JSON.stringify(axes)} are those of experts that compute every token`, () => {
      const dropless = stepOf(buildModel(mixture, { dispatch: { kind: "dropless", parts: axes.expert, imbalance: 1 } }));
      const mesh = makeMesh(axes);
      const program = compile(dropless, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 3 }, dropless));
      const out = runChips(program.chip, inputs);
      for (const [name, expected] of (dense ??= interpret(stepOf(buildModel(mixture)), inputs)))
        ensure(out.get(name), name).data.forEach((value, i) => ok(Math.abs(value - ensure(expected.data[i], name)) < 1e-9, `${name} ${i}`));
    });

  it("the auxiliary loss and its gradient are one number on every mesh", () => {
    const graph = balanceGraph();
    const given = new Map(
      parametersOf(graph).map(({ attrs: { name }, type }, i): [string, Tensor] => {
        const random = seededRandom(i);
        return [
          name,
          tensor(
            type.dtype,
            type.dims,
            Float64Array.from({ length: sizeOf(type.dims) }, () => random.next() - 0.5),
          ),
        ];
      }),
    );
    const expected = interpret(graph, given);
    const size = fc.constantFrom(1, 2, 4);
    fc.assert(
      fc.property(fc.record({ data: size, expert: size, context: size, model: size }), (axes) => {
        const mesh = makeMesh(axes);
        const { chip } = compile(graph, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, model.params), zero: 0 }, graph));
        const out = runChips(chip, given);
        for (const [name, { data }] of expected)
          data.forEach((value, i) => ok(Math.abs(value - ensure(ensure(out.get(name), name).data[i], name)) < 1e-12, `${name} ${i}`));
      }),
      { numRuns: 8 },
    );
  });

  it("with microbatches, counts, loss and gradients are those of the whole batch, on one chip and on four", () => {
    const unbalanced = buildModel({ ...mixture, experts: { ...ensure(mixture.experts, "experts"), auxWeight: 0 } }, { dispatch });
    const update = { steps: 1, optimizer, schedule: { name: "constant", warmup: 0 } } as const;
    const expected = interpret(trainStep(unbalanced, update, { batch, seq }, { withGradients: true }), inputs);
    const parts = trainStep(unbalanced, update, { batch, seq }, { withGradients: true, microbatches: 2 });
    const mesh = makeMesh({ expert: 2, model: 2 });
    const { chip } = compile(parts, compileOptions({ mesh: mesh.axes, rules: defaultRules(mesh, unbalanced.params), zero: 2 }, parts));
    for (const out of [interpret(parts, inputs), runChips(chip, inputs)])
      for (const [name, { data }] of expected)
        data.forEach((value, i) => ok(Math.abs(value - ensure(ensure(out.get(name), name).data[i], name)) < 1e-9, `${name} ${i}`));
  });
});

describe("figures of a plan with experts and windows", () => {
  it("of the experts only the chosen ones are active, and a window limits the scores of a query", () => {
    const { parameters, activeParameters, weights } = stepFlops(mixture, { batch, seq });
    strictEqual(parameters - activeParameters, 2 * (4 - 2) * 3 * 8 * 6);
    strictEqual(weights, 6 * activeParameters * batch * seq);
    const gemma = {
      ...mixture,
      family: "gemma3" as const,
      experts: undefined,
      window: 2,
      layerTypes: ["window" as const, "full" as const],
    };
    const perScore = 12 * 2 * 4 * batch * seq;
    const flops = stepFlops(gemma, { batch, seq });
    deepStrictEqual([flops.attention, flops.causalAttention], [perScore * (2 + 8), perScore * (2 - 4 / 16 + 4)]);
  });

  it("the expected share of dropped choices is that of a binomial load", () => {
    strictEqual(overflowShare(2, 0.5, 2), 0);
    ok(Math.abs(overflowShare(2, 0.5, 1) - 0.25) < 1e-12);
    ok(Math.abs(overflowShare(1000, 0.25, 250) - 0.0218) < 1e-3);
    ok(overflowShare(131_072, 1 / 64, 2048) < 0.01);
  });
});
