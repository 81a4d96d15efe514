import { deepStrictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { makeMesh, printAtoms } from "@lapidary/topology";
import { type Graph, GraphBuilder, printSharding, tensorType } from "@lapidary/ir";
import { type Conflict, Priority, type PropagateOptions, findUnusedMesh, propagate, shortfallReason, winnerText } from "./index.js";

const mesh = makeMesh({ data: 4, model: 4 });
const none = { stage: 0, axes: [] } as const;

function linear(batch: number, out: number, units = ""): Graph {
  const g = new GraphBuilder("linear");
  const x = g.parameter("x", tensorType("f32", [batch, 8]), ["batch", null], "batch");
  const w = g.parameter("w", tensorType("f32", [out, 8]), [`heads${units}`, "embed"], "param");
  g.output("y", g.named("y", g.dotGeneral(x, w, [], [[1, 1]])));
  return g.finish();
}

function expectError(run: () => unknown, code: string, exit: number, ...parts: string[]): void {
  throws(
    run,
    (error: unknown) =>
      error instanceof LapidaryError &&
      error.code === code &&
      error.exit === exit &&
      parts.every((part) => `${error.message} ${error.location} ${error.remedy}`.includes(part)),
  );
}

const shardingsOf = (graph: Graph, options: Omit<PropagateOptions, "mesh">): Record<string, string> =>
  Object.fromEntries(
    propagate(graph, { mesh, ...options }).graph.values.map((v) => [
      v.name,
      printSharding(mesh, v.sharding ?? { dims: [], unreduced: [], reduction: "sum" }),
    ]),
  );

describe("rules", () => {
  it("rules split params, and propagation splits computed values accordingly", () => {
    deepStrictEqual(shardingsOf(linear(8, 8), { rules: { batch: "data", heads: "model" }, zero: none }), {
      x: "[data, -]",
      w: "[model, -]",
      y: "[data, model]",
    });
  });

  it("the batch keeps its axis in a matmul if ZeRO also splits the weights over this axis", () => {
    const propagated = propagate(linear(8, 8), { mesh, rules: { batch: "data", heads: "model" }, zero: { stage: 3, axes: ["data"] } });
    deepStrictEqual(
      propagated.conflicts.map((c) => [c.dimension, printAtoms(mesh, c.atoms), c.lost?.root, c.lost?.priority, c.winner]),
      [
        [
          1,
          ["data"],
          "ZeRO-3 (params → data)",
          Priority.zero,
          { kind: "claim", origin: { priority: Priority.batch, root: "rule batch → data" } },
        ],
      ],
    );
  });

  it("a claim loses to partial sums that an op propagates, and to an op that needs the whole dim", () => {
    const g = new GraphBuilder("g");
    const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);
    const [x, w] = [g.parameter("x", f32(8, 8), ["batch", null], "batch"), g.parameter("w", f32(8, 8), ["embed", "mlp"], "param")];
    const [u, v] = [g.parameter("u", f32(8, 8), ["mlp", "embed"], "param"), g.parameter("v", f32(8, 8), ["mlp", "embed"], "param")];
    const summed = g.named("summed", g.add(g.dotGeneral(x, w, [], [[1, 1]]), g.dotGeneral(u, v, [], [[0, 0]])), [null, "act"]);
    g.output("part", g.named("part", g.slice(v, [0, 0], [4, 8])));
    g.output("summed", summed);
    const propagated = propagate(g.finish(), { mesh, rules: { batch: "data", mlp: "model", act: "model" }, zero: none });
    const of = (name: string): Pick<Conflict, "dimension" | "winner">[] =>
      propagated.conflicts
        .filter(({ op }) => propagated.graph.values[op]?.name === name)
        .map(({ dimension, winner }) => ({ dimension, winner }));
    deepStrictEqual(of("part"), [{ dimension: 0, winner: { kind: "wholeDim" } }]);
    deepStrictEqual(of("summed"), [{ dimension: 1, winner: { kind: "partialSums" } }]);
    deepStrictEqual(
      propagated.conflicts.map(({ winner }) => winnerText(winner)),
      ["partial sums of its operands", "the op, which needs the whole dim"],
    );
  });

  it("a rule splits a dim by the part of an axis that divides it: four units on sixteen chips by a sub-axis", () => {
    const wide = makeMesh({ model: 16 });
    const w = propagate(linear(8, 32, "/4"), { mesh: wide, rules: { heads: "model" }, zero: none }).graph.values.find(
      (v) => v.name === "w",
    );
    deepStrictEqual(printSharding(wide, w?.sharding ?? { dims: [], unreduced: [], reduction: "sum" }), "[model:(1)4, -]");
  });

  it("a rule replicates a dim of one unit, such as the key head of multi-query attention", () => {
    deepStrictEqual(shardingsOf(linear(8, 8, "/1"), { rules: { heads: "model" }, zero: none })["w"], "[-, -]");
  });

  it("the error for an unknown mesh axis suggests the nearest name", () => {
    expectError(
      () => shardingsOf(linear(8, 8), { rules: { heads: "modle" }, zero: none }),
      "LAP_MESH_AXIS_UNKNOWN",
      2,
      "rules.heads",
      "model",
    );
  });

  it("checkRules rejects a logical axis that no tensor has", () => {
    expectError(() => shardingsOf(linear(8, 8), { rules: { haeds: "model" }, zero: none }), "LAP_RULE_UNKNOWN", 2, "rules.haeds", "heads");
  });

  it("the error for rules that split two dims of a tensor over one axis names both dims", () => {
    expectError(
      () => shardingsOf(linear(8, 8), { rules: { heads: "model", embed: "model" }, zero: none }),
      "LAP_RULE_AXIS_TWICE",
      2,
      "heads",
      "embed",
      "w",
      "model",
    );
    expectError(
      () => shardingsOf(linear(8, 8), { rules: { heads: ["model", "model"] }, zero: none }),
      "LAP_RULE_AXIS_TWICE",
      2,
      "rules.heads",
    );
  });

  it("the error for a batch that does not divide suggests a batch that does", () => {
    expectError(
      () => shardingsOf(linear(6, 8), { rules: { batch: "data" }, zero: none }),
      "LAP_MESH_INDIVISIBLE",
      4,
      "batch of 6",
      "data",
      "8",
    );
  });

  it("the error for a dim that no part of the axis divides names tensor, dim and axis, and suggests a size", () => {
    expectError(
      () => shardingsOf(linear(8, 15), { rules: { heads: "model" }, zero: none }),
      "LAP_MESH_INDIVISIBLE",
      4,
      "w dim 0",
      "model",
      "15",
      "such as 3",
    );
  });

  it("the suggested size is the divisor of the units that is nearest to the chips of the axes", () => {
    const remedy = (out: number, axes: string | readonly string[], on = mesh): string => {
      try {
        propagate(linear(8, out), { mesh: on, rules: { heads: axes }, zero: none });
      } catch (error) {
        if (error instanceof LapidaryError) return `${error.message} ${error.remedy}`;
      }
      return "accepted";
    };
    deepStrictEqual(remedy(7, "model", makeMesh({ model: 8 })).split("divisor of 7 ")[1], "such as 7, or set rules.heads to null");
    deepStrictEqual(
      remedy(25, ["data", "model"]),
      "no part of data×model = 16 divides the 25 heads of w make model a divisor of 25 such as 25, or set rules.heads to null",
    );
  });

  it("the error for a logical axis that is like no other lists them all", () => {
    expectError(
      () => shardingsOf(linear(8, 8), { rules: { zzzzzzzz: "model" }, zero: none }),
      "LAP_RULE_UNKNOWN",
      2,
      "logical axes are batch, heads, embed",
    );
  });

  it("shortfalls contain the requests of rules and ZeRO that do not divide a dim, with the reason", () => {
    const shortfalls = (options: Omit<PropagateOptions, "mesh">, graph = linear(8, 6)): string[] =>
      propagate(graph, { mesh, ...options }).shortfalls.map((each) => `${each.cause}: ${shortfallReason(mesh, each)}`);
    deepStrictEqual(shortfalls({ rules: { heads: "model" }, zero: none }), [
      "rule heads → model: 6 is divisible by only 2 of model = 4: 2 chips hold the same part",
    ]);
    deepStrictEqual(shortfalls({ rules: { batch: "data" }, undivided: { heads: "model" }, zero: none }, linear(8, 15)), [
      "rule heads → model: 15 is not divisible by any part of model = 4",
    ]);
    deepStrictEqual(shortfalls({ rules: { heads: "model" }, zero: { stage: 3, axes: ["data"] } }, linear(8, 8)), []);
  });

  it("findUnusedMesh returns the axes over which neither a rule nor ZeRO splits a value", () => {
    const idle = (options: Omit<PropagateOptions, "mesh">): string[] =>
      findUnusedMesh(linear(8, 8), { mesh, ...options }).idle.map(({ name }) => name);
    deepStrictEqual(idle({ rules: { batch: "data" }, zero: none }), ["model"]);
    deepStrictEqual(idle({ rules: { heads: "model" }, zero: { stage: 3, axes: ["data"] } }), []);
    // A part of an axis is in use.
    deepStrictEqual(
      findUnusedMesh(linear(8, 8, "/2"), { mesh, rules: { heads: "model" }, zero: none }).idle.map(({ name }) => name),
      ["data"],
    );
    const { gradientSums } = propagate(linear(8, 8), { mesh, rules: {}, zero: none });
    deepStrictEqual(
      [gradientSums, propagate(linear(8, 8), { mesh, rules: {}, zero: { stage: 2, axes: ["data"] } }).gradientSums],
      ["whole", "scattered"],
    );
  });
});
