import assert from "node:assert/strict";
import { GraphBuilder, type Phase, type Value, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { makePlan } from "./make-plan.js";
import { type Plan, printPlan } from "./plan.js";

const f = (...dims: number[]) => tensorType("f32", dims);

function planOf(build: (g: GraphBuilder) => Value, roundMatmulOperands = false): Plan {
  const g = new GraphBuilder("case");
  g.output("y", build(g));
  return makePlan(g.finish(), { roundMatmulOperands });
}

/** Op and stored dims of every node, as in `add[4,8]`. */
const shapes = (plan: Plan): string[] => plan.nodes.map(({ op, type }) => `${op}[${type.dims.join()}]`);
const count = (plan: Plan, op: string): number => plan.nodes.filter((node) => node.op === op).length;

describe("a plan", () => {
  it("a plan stores a repeated value once, and kernels broadcast it", () => {
    const plan = planOf((g) => {
      const x = g.parameter("x", f(4, 8));
      const mean = g.scale(g.reduce(x, [1], "sum"), 1 / 8);
      return g.subtract(x, g.broadcastInDim(mean, [4, 8], [0]));
    });
    assert.deepEqual(shapes(plan), ["parameter[4,8]", "reduce[4]", "constant[1]", "multiply[4]", "reshape[4,1]", "subtract[4,8]"]);
  });

  it("a plan computes a mask once, from a row and a column, when it is loaded", () => {
    const plan = planOf((g) => {
      const [row, column] = [g.iota(tensorType("i32", [2, 4, 4]), 1), g.iota(tensorType("i32", [2, 4, 4]), 2)];
      const x = g.parameter("x", f(2, 4, 4));
      return g.select(g.compare(column, row, "LE"), x, g.splat(0, x.type));
    });
    assert.deepEqual(shapes(plan), [
      "iota[1,4,1]",
      "iota[1,1,4]",
      "parameter[2,4,4]",
      "compare[1,4,4]",
      "constant[1,1,1]",
      "select[2,4,4]",
    ]);
    assert.deepEqual(
      plan.nodes.filter(({ constant }) => !constant).map(({ op }) => op),
      ["parameter", "select"],
    );
  });

  it("a plan sums over a repeated dim by a multiplication", () => {
    const plan = planOf((g) => g.reduce(g.broadcastInDim(g.parameter("x", f(3)), [3, 5], [0]), [1], "sum"));
    assert.deepEqual(shapes(plan).slice(-2), ["constant[1]", "multiply[3]"]);
    assert.equal(count(plan, "reduce"), 0);
  });

  it("a plan repeats a value in memory if an output or a contraction needs the full dim", () => {
    assert.deepEqual(shapes(planOf((g) => g.broadcastInDim(g.parameter("x", f(3)), [3, 5], [0]))), [
      "parameter[3]",
      "reshape[3,1]",
      "broadcast_in_dim[3,5]",
    ]);
    assert.deepEqual(
      shapes(
        planOf((g) => g.dotGeneral(g.broadcastInDim(g.parameter("x", f(3)), [3, 5], [0]), g.parameter("y", f(5, 2)), [], [[1, 0]])),
      ).slice(-3),
      ["parameter[5,2]", "broadcast_in_dim[3,5]", "dot_general[3,2]"],
    );
  });

  it("a plan has one matmul for all heads that share keys", () => {
    const [B, T, S, H, d] = [2, 3, 5, 4, 6];
    const plan = planOf((g) => {
      const keys = g.broadcastInDim(g.parameter("k", f(B, S, d)), [B, H, S, d], [0, 2, 3]);
      return g.dotGeneral(
        g.parameter("q", f(B, H, T, d)),
        keys,
        [
          [0, 0],
          [1, 1],
        ],
        [[3, 3]],
      );
    });
    assert.equal(count(plan, "broadcast_in_dim"), 0);
    assert.ok(shapes(plan).includes(`dot_general[${B},${H * T},${S}]`), printPlan(plan));
  });

  it("a plan rounds an operand of several matmuls once", () => {
    const build = (g: GraphBuilder): Value => {
      const w = g.parameter("w", f(4, 4));
      const x = g.parameter("x", f(4, 4));
      return g.add(g.dotGeneral(x, w, [], [[1, 0]]), g.dotGeneral(w, x, [], [[1, 0]]));
    };
    assert.equal(count(planOf(build, true), "convert"), 2);
    assert.equal(count(planOf(build), "convert"), 0);
  });

  it("a plan does not keep a value of the forward pass that the backward pass recomputes", () => {
    const build = (phase: Phase): Plan => {
      const g = new GraphBuilder("case");
      const x = g.parameter("x", f(4));
      const once = g.push("tanh", [x.id], {}, x.type);
      const again = g.push("tanh", [x.id], {}, x.type, { scope: { phase } });
      g.output("y", g.add(once, again));
      return makePlan(g.finish(), { roundMatmulOperands: false });
    };
    assert.equal(count(build("forward"), "tanh"), 1);
    assert.equal(count(build("recompute"), "tanh"), 2);
  });

  it("every output of a plan has a tensor that nothing else refers to", () => {
    const g = new GraphBuilder("case");
    const x = g.parameter("x", f(4));
    const y = g.negate(x);
    for (const [name, value] of [
      ["x", x],
      ["y", y],
      ["again", y],
      ["zeros", g.splat(0, f(4))],
    ] as const)
      g.output(name, value);
    const { outputs, nodes } = makePlan(g.finish(), { roundMatmulOperands: false });
    assert.equal(new Set(outputs.map(({ node }) => node)).size, 4);
    assert.ok(outputs.every(({ node }) => ensure(nodes[node], "node").op !== "parameter" && !ensure(nodes[node], "node").constant));
  });
});
