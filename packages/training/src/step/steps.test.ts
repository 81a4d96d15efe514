import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Graph, interpret, parametersOf, type Tensor, tensor, verifyGraph } from "@lapidary/ir";
import { buildModel, modelConfigSchema } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { optimizerSchema, scheduleSchema } from "../optimizer/optimizer-config.js";
import { evalStep, nextTokenLogits } from "./eval-step.js";
import { initProgram } from "./init-program.js";
import { trainState } from "./train-state.js";
import { trainMetrics, trainStep } from "./train-step.js";

const model = buildModel(
  modelConfigSchema.parse({ vocabSize: 13, modelDim: 8, layers: 1, heads: 2, kvHeads: 1, headDim: 4, mlpDim: 12, contextLength: 6 }),
);
const optimizer = optimizerSchema.parse({ name: "adamw", lr: 0.05, weight_decay: 0.01 });
const update = { steps: 30, optimizer, schedule: scheduleSchema.parse({ name: "cosine", warmup: 3 }), clip: 1 };
const shape = { batch: 2, seq: 6 };

const ids = (values: readonly number[]): Tensor => tensor("i32", [2, 6], values);
const batch = new Map([
  ["tokens", ids([2, 3, 4, 5, 6, 7, 2, 8, 9, 10, 11, 12])],
  ["targets", ids([3, 4, 5, 6, 7, 1, 8, 9, 10, 11, 12, 1])],
  ["mask", tensor("f32", [2, 6], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1])],
]);
const initial = (seed = 1): Map<string, Tensor> => interpret(initProgram(model, optimizer, seed), new Map());
const scalar = (out: ReadonlyMap<string, Tensor>, name: string): number => ensure(ensure(out.get(name), name).data[0], name);
const only = (graph: Graph, inputs: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map(parametersOf(graph).map(({ attrs }) => [attrs.name, ensure(inputs.get(attrs.name), attrs.name)]));

describe("train step", () => {
  const graph = trainStep(model, update, shape);
  const states = trainState(model, optimizer);

  it("the train step returns the next value of every state under its name, and the metrics", () => {
    verifyGraph(graph);
    deepStrictEqual(
      parametersOf(graph).map(({ attrs }) => attrs.name),
      [...states.map(({ name }) => name), "tokens", "targets", "mask"],
    );
    deepStrictEqual(new Set(graph.outputs.map(({ name }) => name)), new Set([...states.map(({ name }) => name), ...trainMetrics]));
  });

  it("each state has its role, its weight and the block of the weight", () => {
    deepStrictEqual(
      states.filter(({ role }) => role === "param").map(({ weight }) => weight),
      model.params.map(({ name }) => name),
    );
    deepStrictEqual(
      states.flatMap(({ name, role, weight }) => (role === "optimizer" ? [[name, weight]] : [])),
      ["adam_m", "adam_v"].flatMap((slot) => model.params.map(({ name }) => [`${slot}/${name}`, name])),
    );
    deepStrictEqual(
      states.flatMap(({ name, role, weight }) => (role === "step" ? [[name, weight]] : [])),
      [["step", undefined]],
    );
    const blocks = new Map(parametersOf(graph).map(({ attrs, scope }) => [attrs.name, scope.block]));
    deepStrictEqual(
      states.map(({ name }) => blocks.get(name)),
      states.map(({ block }) => block),
    );
    deepStrictEqual(new Set(states.map(({ block }) => block)), new Set([undefined, 0]));
  });

  it("gradients and moments have the logical axes of their parameter", () => {
    const values = new Map(graph.values.map((value) => [value.name, value]));
    for (const { name, logicalAxes } of model.params) {
      deepStrictEqual([values.get(`grads/${name}`)?.role, values.get(`grads/${name}`)?.logicalAxes], ["gradient", logicalAxes]);
      deepStrictEqual([values.get(`adam_v/${name}`)?.role, values.get(`adam_v/${name}`)?.logicalAxes], ["optimizer", logicalAxes]);
      deepStrictEqual(values.get(`params/${name}`)?.role, "param");
    }
  });

  it("the train step memorizes two rows in thirty steps", () => {
    let state = initial();
    const losses: number[] = [];
    for (let step = 0; step < 30; step++) {
      const out = interpret(graph, new Map([...state, ...batch]));
      losses.push(scalar(out, "loss"));
      strictEqual(scalar(out, "tokens_counted"), 11);
      strictEqual(scalar(out, "step"), step + 1);
      state = new Map([...state.keys()].map((name) => [name, ensure(out.get(name), name)]));
    }
    ok(ensure(losses[0], "first") > 2 && ensure(losses.at(-1), "last") < 0.5, losses.join(" "));
  });

  it("the train step returns gradients and logits on request, and the norm of these gradients", () => {
    const out = interpret(trainStep(model, update, shape, { withGradients: true, withLogits: true }), new Map([...initial(), ...batch]));
    const squares = model.params.flatMap(({ name }) => [...ensure(out.get(`grads/${name}`), name).data]).reduce((sum, x) => sum + x * x, 0);
    ok(Math.abs(Math.sqrt(squares) - scalar(out, "grad_norm")) < 1e-12);
    deepStrictEqual(out.get("logits")?.dims, [2, 6, 13]);
  });
});

describe("eval step", () => {
  it("sum divided by count of the eval step is the loss of the train step", () => {
    const inputs = new Map([...initial(), ...batch]);
    const graph = evalStep(model, shape);
    const out = interpret(graph, only(graph, inputs));
    ok(
      Math.abs(
        scalar(out, "loss_sum") / scalar(out, "tokens_counted") - scalar(interpret(trainStep(model, update, shape), inputs), "loss"),
      ) < 1e-12,
    );
  });
});

describe("next token", () => {
  it("nextTokenLogits returns the logits at the position of each row and ignores later tokens", () => {
    const inputs = new Map([...initial(), ...batch]);
    const all = ensure(interpret(trainStep(model, update, shape, { withLogits: true }), inputs).get("logits"), "logits").data;
    const graph = nextTokenLogits(model, shape);
    const tokens = ids([2, 3, 4, 0, 0, 0, 2, 8, 9, 10, 11, 12]);
    const out = ensure(
      interpret(graph, new Map([...only(graph, new Map([...inputs, ["position", tensor("i32", [2], [2, 5])]])), ["tokens", tokens]])).get(
        "logits",
      ),
      "logits",
    ).data;
    const expected = [...all.subarray(2 * 13, 3 * 13), ...all.subarray(11 * 13, 12 * 13)];
    out.forEach((x, i) => ok(Math.abs(x - ensure(expected[i], "logit")) < 1e-12));
  });
});

describe("init program", () => {
  it("initProgram draws each weight from its own stream, by seed, and sets other states to zero", () => {
    const [a, again, b] = [initial(1), initial(1), initial(2)];
    const data = (state: Map<string, Tensor>, name: string): number[] => [...ensure(state.get(name), name).data];
    const [gate, up] = ["params/model.layers.0.mlp.gate_proj.weight", "params/model.layers.0.mlp.up_proj.weight"];
    deepStrictEqual(data(a, gate), data(again, gate));
    ok(data(a, gate)[0] !== data(b, gate)[0] && data(a, gate)[0] !== data(a, up)[0]);
    ok(
      ["step", "params/model.norm.weight", "adam_m/model.norm.weight", "adam_v/model.embed_tokens.weight"].every((name) =>
        data(a, name).every((x) => x === 0),
      ),
    );
  });
});
