import { ok, strictEqual } from "node:assert/strict";
import { ensure } from "@lapidary/std";
import type { OpName } from "../attrs.js";
import { GraphBuilder } from "../builder.js";
import { interpret } from "../interpret.js";
import type { OpDef } from "../op.js";
import { draw, opCases } from "../testing/op-cases.js";
import { type Tensor, tensor } from "../tensor.js";
import { isFloat, parseType } from "../types.js";
import { ops } from "./index.js";

/** Ops whose derivative is not that of their result: no gradient passes, or the result has steps. */
const withoutGradient = new Set<OpName>(["compare", "stop_gradient", "bitcast_convert", "floor"]);
/** Nothing differentiates through these: see their definitions. */
const withoutVjp: readonly OpName[] = ["carry", "yield", "all_gather", "reduce_scatter", "all_reduce", "all_to_all", "shard_slice"];

describe("derivatives of ops", () => {
  for (const { name, one, def } of opCases) {
    const { vjp } = def;
    if (vjp === null) continue;
    const types = one.types.map(parseType);
    it(`the vjp of ${name}(${one.types.join(", ")}) ${JSON.stringify(one.attrs)} equals central differences`, () => {
      const g = new GraphBuilder("vjp");
      const inputs = types.map((type, i) => g.parameter(`x${i}`, type));
      const value = g.op(name, inputs, one.attrs);
      const grad = g.parameter("grad", value.type);
      const made = vjp(g, { value, inputs, grad, attrs: one.attrs });
      strictEqual(made.length, inputs.length);
      g.output("y", value);
      made.forEach((of, i) => of !== undefined && g.output(`grad${i}`, of));
      const graph = g.finish();
      // Numbers that differ, so that no maximum is attained twice.
      const operands = draw(types, 5).map((x) => (isFloat(x.dtype) ? { ...x, data: x.data.map((v, at) => v + at / 64 + 1 / 512) } : x));
      const [weights] = draw([{ ...value.type, dtype: "f32" }], 9);
      const run = (xs: readonly Tensor[]): Map<string, Tensor> =>
        interpret(
          graph,
          new Map([...xs.map((x, i) => [`x${i}`, x] as const), ["grad", { ...ensure(weights, "grad"), dtype: value.type.dtype }]]),
        );
      const objective = (xs: readonly Tensor[]): number =>
        ensure(run(xs).get("y"), "y").data.reduce((sum, v, at) => sum + v * (weights?.data[at] ?? 0), 0);
      const results = run(operands);
      operands.forEach((x, i) => {
        const got = results.get(`grad${i}`);
        if (got === undefined || withoutGradient.has(name)) {
          ok(got === undefined || name === "floor", "no gradient passes");
          const isDifferentiable = isFloat(x.dtype) && isFloat(value.type.dtype) && !withoutGradient.has(name);
          ok(!isDifferentiable, `operand ${i} of ${name} has a gradient`);
          return;
        }
        strictEqual(got.dims.join(), x.dims.join());
        const h = 1e-6;
        x.data.forEach((_, at) => {
          const moved = (by: number): number =>
            objective(
              operands.map((each, k) =>
                k === i
                  ? tensor(
                      each.dtype,
                      each.dims,
                      each.data.map((v, d) => (d === at ? v + by : v)),
                    )
                  : each,
              ),
            );
          const expected = (moved(h) - moved(-h)) / (2 * h);
          ok(
            Math.abs((got.data[at] ?? Number.NaN) - expected) <= 1e-6 * Math.max(1, Math.abs(expected)),
            `operand ${i}, element ${at}: ${got.data[at]} for ${expected}`,
          );
        });
      });
    });
  }

  it("the gradients of a layer x [B, in] · w [out, in] are two matmuls without a transpose", () => {
    const g = new GraphBuilder("layer");
    const [x, w] = [g.parameter("x", { dtype: "f32", dims: [2, 3] }), g.parameter("w", { dtype: "f32", dims: [5, 3] })];
    const attrs = { batch: [], contracting: [[1, 1]] } as const;
    const value = g.op("dot_general", [x, w], attrs);
    const grad = g.parameter("grad", value.type);
    const before = g.values.length;
    ensure(ops.dot_general.vjp, "vjp")(g, { value, inputs: [x, w], grad, attrs });
    strictEqual(
      g.values
        .slice(before)
        .map(({ op, type }) => `${op} ${type.dims.join("x")}`)
        .join(),
      "dot_general 2x3,dot_general 5x3",
    );
  });

  it("exactly collectives and the ops of regions have no derivative", () => {
    const without = (Object.keys(ops) as OpName[]).filter((name) => (ops[name] as OpDef<OpName>).vjp === null);
    strictEqual(without.sort().join(), [...withoutVjp].sort().join());
  });

  it("equal operands of a maximum or minimum, and equal extremes of a reduction, share the gradient", () => {
    const shared = (name: "maximum" | "minimum"): number[][] => {
      const g = new GraphBuilder("tie");
      const [a, b, grad] = ["a", "b", "grad"].map((each) => g.parameter(each, { dtype: "f32", dims: [3] })) as [never, never, never];
      const value = g.op(name, [a, b], {});
      ensure((ops[name] as OpDef<OpName>).vjp, "vjp")(g, { value, inputs: [a, b], grad, attrs: {} }).forEach(
        (of, i) => of !== undefined && g.output(`${i}`, of),
      );
      const vector = (...data: number[]): Tensor => tensor("f32", [3], data);
      const results = interpret(
        g.finish(),
        new Map([
          ["a", vector(1, 2, 3)],
          ["b", vector(1, 3, 2)],
          ["grad", vector(8, 8, 8)],
        ]),
      );
      return ["0", "1"].map((key) => [...ensure(results.get(key), key).data]);
    };
    strictEqual(JSON.stringify(shared("maximum")), "[[4,0,8],[4,8,0]]");
    strictEqual(JSON.stringify(shared("minimum")), "[[4,8,0],[4,0,8]]");
    const g = new GraphBuilder("tie");
    const [x, grad] = [g.parameter("x", { dtype: "f32", dims: [4] }), g.parameter("grad", { dtype: "f32", dims: [] })];
    const attrs = { dims: [0], kind: "max" } as const;
    const value = g.op("reduce", [x], attrs);
    const [of] = ensure(ops.reduce.vjp, "vjp")(g, { value, inputs: [x], grad, attrs });
    g.output("grad", ensure(of, "gradient"));
    const result = interpret(
      g.finish(),
      new Map([
        ["x", tensor("f32", [4], [1, 5, 5, 2])],
        ["grad", tensor("f32", [], [8])],
      ]),
    ).get("grad");
    strictEqual([...ensure(result, "gradient").data].join(), "0,4,4,0");
  });
});
