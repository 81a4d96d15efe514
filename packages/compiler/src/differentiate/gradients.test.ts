import { ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { seededRandom } from "@lapidary/std";
import {
  GraphBuilder,
  type Tensor,
  interpret,
  isFloat,
  parametersOf,
  parseGraph,
  printGraph,
  tensor,
  tensorType,
  verifyGraph,
} from "@lapidary/ir";
import { randomGraph, randomInputs } from "../testing/random-graph.js";
import { gradients, gradientsFrom, vjp } from "./gradients.js";

/** Directional derivative by central differences in double precision. */
function finiteDifference(
  loss: (inputs: ReadonlyMap<string, Tensor>) => number,
  inputs: ReadonlyMap<string, Tensor>,
  direction: ReadonlyMap<string, Tensor>,
): number {
  const h = 1e-5;
  const moved = (sign: number): ReadonlyMap<string, Tensor> =>
    new Map(
      [...inputs].map(([name, x]) => [
        name,
        isFloat(x.dtype) ? { ...x, data: x.data.map((v, i) => v + sign * h * (direction.get(name)?.data[i] ?? 0)) } : x,
      ]),
    );
  return (loss(moved(1)) - loss(moved(-1))) / (2 * h);
}

describe("differentiate", () => {
  it("gradients from a known derivative of an intermediate value are those of the loss", () => {
    const build = (fromMiddle: boolean): Map<string, Tensor> => {
      const g = new GraphBuilder("middle");
      const [w, x] = [g.parameter("w", tensorType("f32", [3])), g.parameter("x", tensorType("f32", [3]))];
      const hidden = g.tanh(g.multiply(w, x));
      const loss = g.reduce(g.multiply(g.square(hidden), w), [0], "sum");
      if (!fromMiddle) gradients(g, loss, [w, x]).forEach((grad, i) => g.output(`grad${i}`, grad));
      else {
        const [ofHidden, ofWeight] = vjp(g, [{ value: loss, cotangent: g.scalar(1) }], [hidden, w]);
        if (ofHidden === undefined || ofWeight === undefined) throw new Error("the loss depends on both");
        const known = [
          { value: hidden, cotangent: ofHidden },
          { value: w, cotangent: ofWeight },
        ];
        gradientsFrom(g, known, [w, x]).forEach((grad, i) => g.output(`grad${i}`, grad));
      }
      const numbers = (...data: number[]): Tensor => tensor("f32", [3], data);
      return interpret(
        g.finish(),
        new Map([
          ["w", numbers(0.3, -0.7, 1.1)],
          ["x", numbers(-0.4, 0.9, 0.2)],
        ]),
      );
    };
    const [direct, split] = [build(false), build(true)];
    for (const [name, { data }] of direct) data.forEach((v, i) => ok(Math.abs(v - (split.get(name)?.data[i] ?? NaN)) < 1e-12, name));
  });

  it("vjp stops at the values that count as independent, and has no gradient of a value without influence", () => {
    const g = new GraphBuilder("independent");
    const [w, other] = [g.parameter("w", tensorType("f32", [3])), g.parameter("other", tensorType("f32", [3]))];
    const hidden = g.tanh(w);
    const loss = g.reduce(g.square(hidden), [0], "sum");
    const before = g.values.length;
    const found = vjp(g, [{ value: loss, cotangent: g.scalar(1) }], [hidden, w, other]);
    strictEqual(found.map((value) => value !== undefined).join(), "true,false,false");
    ok(g.values.slice(before).every((value) => !value.inputs.includes(w.id)));
  });

  it("gradients of random graphs of smooth ops agree with finite differences along a direction", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const random = seededRandom(seed);
        const base = randomGraph(random, 1 + random.integer(10), { smooth: true });
        const inputs = randomInputs(random, base);
        const g = new GraphBuilder("with_gradients");
        for (const value of base.values) g.push(value.op, value.inputs, value.attrs, value.type, value);
        const parameters = parametersOf(base).flatMap((p) => (isFloat(p.type.dtype) ? [g.get(p.id)] : []));
        const loss = g.get(base.outputs.find((o) => o.name === "loss")?.value ?? -1);
        g.output("loss", loss);
        gradients(g, loss, parameters).forEach((grad, i) => g.output(`grad${i}`, grad));
        const graph = g.finish();
        verifyGraph(graph);
        const results = interpret(graph, inputs);
        const direction = randomInputs(random, base);
        const expected = finiteDifference((at) => interpret(base, at).get("loss")?.data[0] ?? 0, inputs, direction);
        let actual = 0;
        parameters.forEach((p, i) =>
          results.get(`grad${i}`)?.data.forEach((v, k) => (actual += v * (direction.get(p.name)?.data[k] ?? 0))),
        );
        ok(Math.abs(actual - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), `seed ${seed}: ${actual} against ${expected}`);
      }),
      { numRuns: 200 },
    );
  });

  it("the gradient of a maximum is shared among equal elements", () => {
    const g = new GraphBuilder("max");
    const x = g.parameter("x", tensorType("f32", [4]));
    const loss = g.reduce(x, [0], "max");
    g.output("grad", gradients(g, loss, [x])[0] ?? loss);
    const grad = interpret(g.finish(), new Map([["x", tensor("f32", [4], [1, 3, 3, 2])]])).get("grad");
    strictEqual(grad?.data.join(), "0,0.5,0.5,0");
  });

  it("gradients rejects a loss that is not a scalar", () => {
    const g = new GraphBuilder("bad");
    const x = g.parameter("x", tensorType("f32", [4]));
    throws(
      () => gradients(g, x, [x]),
      (e: Error & { code?: string }) => e.code === "LAP_COMPILE_LOSS",
    );
  });

  it("the text of a random graph parses to the same graph", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const text = printGraph(randomGraph(seededRandom(seed), 8));
        strictEqual(printGraph(parseGraph(text)), text);
      }),
      { numRuns: 100 },
    );
  });
});
