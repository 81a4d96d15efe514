import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { makeMesh, printAtoms } from "@lapidary/topology";
import { type Graph, GraphBuilder, type Value, type ValueRole, parseSharding, printSharding, tensorType } from "@lapidary/ir";
import { type PropagateOptions, dividingSize, findUnusedMesh, propagate, shortfallReason } from "./index.js";
import { Priority, parseLogicalAxis } from "./rules.js";
import { seedsOfGraph } from "./seeds.js";

const mesh = makeMesh({ data: 4, model: 4 });
const none = { stage: 0, axes: [] } as const;
const zero = (stage: 0 | 1 | 2 | 3, ...axes: string[]): PropagateOptions["zero"] => ({ stage, axes });
const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);

/** One parameter with a role. */
function one(dims: readonly number[], axes: readonly (string | null)[], role?: ValueRole): Graph {
  const g = new GraphBuilder("one");
  g.output("y", g.negate(g.parameter("x", f32(...dims), axes, role)));
  return g.finish();
}

/** The seeds of the first value as `dim axes priority cause`. */
const seeds = (graph: Graph, options: Omit<PropagateOptions, "mesh">, on = mesh): string[] =>
  (seedsOfGraph(graph, { mesh: on, ...options })[0] ?? []).flatMap((list, d) =>
    list.map(({ atoms, priority, cause }) => `${d} ${printAtoms(on, atoms).join("+")} ${priority} ${cause}`),
  );
const shardingOf = (value: Value | undefined, on = mesh): string =>
  value?.sharding === undefined ? "none" : printSharding(on, value.sharding);

describe("seeds of ZeRO", () => {
  it("ZeRO splits optimizer states from stage 1 on, gradients from stage 2 on and params from stage 3 on", () => {
    const stages = (role: ValueRole): number[] =>
      ([0, 1, 2, 3] as const).filter(
        (stage) => seeds(one([8, 4], [null, null], role), { rules: {}, zero: zero(stage, "data") }).length > 0,
      );
    deepStrictEqual(stages("optimizer"), [1, 2, 3]);
    deepStrictEqual(stages("gradient"), [2, 3]);
    deepStrictEqual(stages("param"), [3]);
    for (const role of ["batch", "metric", "gathered"] as const) deepStrictEqual(stages(role), []);
  });

  it("the cause names the stage, the role and the axes", () => {
    deepStrictEqual(seeds(one([16, 4], [null, null], "optimizer"), { rules: {}, zero: zero(1, "data", "model") }), [
      "0 data+model 3 ZeRO-1 (optimizer state → data+model)",
    ]);
    deepStrictEqual(seeds(one([16, 4], [null, null], "gradient"), { rules: {}, zero: zero(2, "data") }), [
      "0 data 3 ZeRO-2 (gradients → data)",
    ]);
  });

  it("ZeRO splits the largest dim that all its axes divide, by its size after the rules", () => {
    const of = (dims: readonly number[], axes: readonly (string | null)[] = dims.map(() => null), rules = {}): string[] =>
      seeds(one(dims, axes, "param"), { rules, zero: zero(3, "data") }).map((text) => text.split(" ").slice(0, 2).join(" "));
    deepStrictEqual(of([8, 16]), ["1 data"]);
    deepStrictEqual(of([16, 8]), ["0 data"]);
    deepStrictEqual(of([8, 8]), ["0 data"]);
    // 18 is larger, but 4 does not divide it.
    deepStrictEqual(of([18, 8]), ["1 data"]);
    // The rule leaves 4 of 16 elements, so that 8 is the larger dim.
    deepStrictEqual(of([16, 8], ["mlp", null], { mlp: "model" }), ["0 model", "1 data"]);
    // Of two dims of 4, the one without a rule comes first.
    deepStrictEqual(of([16, 4], ["mlp", null], { mlp: "model" }), ["0 model", "1 data"]);
    // A rule has the axis already.
    deepStrictEqual(of([16, 8], ["mlp", null], { mlp: "data" }), ["0 data"]);
  });

  it("if no dim takes all axes, each dim takes those that divide it, the largest first, and the shortfall is on the largest", () => {
    const graph = one([6, 2], [null, null], "param");
    deepStrictEqual(seeds(graph, { rules: {}, zero: zero(3, "data") }), [
      "0 data:(1)2 3 ZeRO-3 (params → data)",
      "1 data:(2)2 3 ZeRO-3 (params → data)",
    ]);
    const { shortfalls } = propagate(one([6, 3], [null, null], "param"), { mesh, rules: {}, zero: zero(3, "data") });
    deepStrictEqual(
      shortfalls.map(({ value, dimension, wanted, taken, units, parts }) => [value, dimension, wanted, taken, units, parts]),
      [[0, 0, [0, 1], [0], 6, 2]],
    );
    deepStrictEqual(
      shortfalls.map((each) => shortfallReason(mesh, each)),
      ["only 2 of data = 4 divide its dims"],
    );
    const odd = propagate(one([5, 3], [null, null], "param"), { mesh, rules: {}, zero: zero(3, "data") }).shortfalls;
    deepStrictEqual(
      odd.map((each) => shortfallReason(mesh, each)),
      ["5 is not divisible by any part of data = 4"],
    );
  });
});

describe("seeds of rules", () => {
  it("a logical axis has the size of its dim as units, or the number after a slash", () => {
    deepStrictEqual(parseLogicalAxis("heads/16", 64), { name: "heads", units: 16 });
    deepStrictEqual(parseLogicalAxis("mlp", 64), { name: "mlp", units: 64 });
  });

  it("the batch is settled before the rules on params, and these before those on activations", () => {
    strictEqual(Priority.given < Priority.batch && Priority.batch < Priority.rule, true);
    strictEqual(Priority.rule < Priority.activation && Priority.activation < Priority.zero, true);
    const priority = (role: ValueRole | undefined, axis = "batch"): string[] =>
      seeds(one([8], [axis], role), { rules: { [axis]: "data" }, zero: none });
    deepStrictEqual(priority("batch"), ["0 data 0 rule batch → data"]);
    deepStrictEqual(priority("param", "mlp"), ["0 data 1 rule mlp → data"]);
    deepStrictEqual(priority("batch", "mlp"), ["0 data 1 rule mlp → data"]);
    const g = new GraphBuilder("activation");
    g.output("y", g.named("y", g.negate(g.parameter("x", f32(8))), ["seq"]));
    const [, ofActivation] = seedsOfGraph(g.finish(), { mesh, rules: { seq: "data" }, zero: none });
    deepStrictEqual(
      ofActivation?.[0]?.map((seed) => seed.priority),
      [Priority.activation],
    );
  });

  it("a rule on an axis of parameters applies to parameters, gradients and gathered weights, and not to other values", () => {
    const applies = (role: ValueRole | undefined): boolean => {
      const g = new GraphBuilder("g");
      const w = g.parameter("w", f32(8), ["mlp"], "param");
      g.output("y", g.named("y", g.negate(w), ["mlp"], role));
      return (seedsOfGraph(g.finish(), { mesh, rules: { mlp: "model" }, zero: none })[1]?.[0]?.length ?? 0) > 0;
    };
    deepStrictEqual(([undefined, "gradient", "gathered", "metric"] as const).map(applies), [false, true, true, false]);
  });

  it("a rule of several axes splits a dim by the longest prefix that divides it", () => {
    const of = (size: number): string[] => seeds(one([size], ["mlp"], "param"), { rules: { mlp: ["data", "model"] }, zero: none });
    deepStrictEqual(of(16), ["0 data+model 1 rule mlp → data+model"]);
    deepStrictEqual(of(8), ["0 data+model:(1)2 1 rule mlp → data+model"]);
    deepStrictEqual(of(12), ["0 data 1 rule mlp → data+model"]);
    deepStrictEqual(of(6), ["0 data:(1)2 1 rule mlp → data+model"]);
    deepStrictEqual(seeds(one([8], ["mlp"], "param"), { rules: { mlp: null }, zero: none }), []);
    deepStrictEqual(seeds(one([8], [null], "param"), { rules: { mlp: "model" }, zero: none }), []);
  });

  it("a constraint has precedence over rules and ZeRO, and its cause is the line that states it", () => {
    const constraints = new Map([["x", parseSharding(mesh, "[model, -]")]]);
    deepStrictEqual(seeds(one([8, 8], ["mlp", null], "param"), { rules: { mlp: "data" }, zero: zero(3, "data"), constraints }), [
      "0 model -1 the stated sharding of x",
      "1  -1 the stated sharding of x",
    ]);
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(8));
    g.output(
      "y",
      g.inLine("train.py:3", () => g.negate(x)),
    );
    const [, seed] = seedsOfGraph(g.finish(), {
      mesh,
      rules: {},
      zero: none,
      constraints: new Map([["negate", parseSharding(mesh, "[data]")]]),
    });
    deepStrictEqual(
      seed?.[0]?.map(({ cause }) => cause),
      ["the constraint at train.py:3"],
    );
  });

  it("an assumed sharding keeps the rule that it extends, and replaces a rule that it contradicts", () => {
    const of = (text: string): string[] =>
      seeds(one([16, 4], ["mlp", null], "param"), {
        rules: { mlp: "model" },
        zero: zero(3, "data"),
        assumed: new Map([["x", parseSharding(mesh, text)]]),
      });
    deepStrictEqual(of("[model+data, -]"), ["0 model 1 rule mlp → model", "0 data 3 assumed", "1  3 assumed"]);
    deepStrictEqual(of("[data, model]"), ["0 data 3 assumed", "1 model 3 assumed"]);
  });

  it("an omitted rule splits nothing and is a shortfall, but not for a dim of one unit", () => {
    const of = (axis: string): unknown[] =>
      propagate(one([15], [axis], "param"), { mesh, rules: {}, undivided: { heads: ["data", "model"] }, zero: none }).shortfalls.map(
        ({ cause, logical, taken, units, wanted }) => [cause, logical, taken, units, wanted.length],
      );
    deepStrictEqual(of("heads"), [["rule heads → data+model", "heads", [], 15, 4]]);
    deepStrictEqual(of("heads/3"), [["rule heads → data+model", "heads", [], 3, 4]]);
    deepStrictEqual(of("heads/1"), []);
  });
});

describe("shortfalls", () => {
  it("the size that a request would divide is the least multiple of its parts that is not below the units", () => {
    const [wanted] = [[0, 1]];
    deepStrictEqual(
      [15, 16, 17, 1].map((units) => dividingSize(mesh, { wanted: wanted ?? [], units })),
      [16, 16, 20, 4],
    );
  });

  it("a rule on an activation whose axis another dim has is a shortfall that names the holder", () => {
    const g = new GraphBuilder("g");
    const w = g.parameter("w", f32(8, 8), ["mlp", null], "param");
    g.output("y", g.named("y", g.negate(w), ["mlp", "seq"]));
    const options = { mesh, rules: { mlp: "model", seq: "model" }, zero: none };
    const { shortfalls } = propagate(g.finish(), options);
    deepStrictEqual(
      shortfalls.map(({ value, dimension, holder, taken, cause }) => [value, dimension, holder, taken, cause]),
      [[1, 1, "rule mlp → model", [], "rule seq → model"]],
    );
    deepStrictEqual(
      shortfalls.map((each) => shortfallReason(mesh, each)),
      ["model is taken by rule mlp → model"],
    );
    // The holder's own axis counts as used, that of the shortfall does not.
    deepStrictEqual(
      findUnusedMesh(g.finish(), options).idle.map(({ name }) => name),
      ["data"],
    );
  });

  it("an axis of one chip is not idle", () => {
    const thin = makeMesh({ data: 4, pod: 1 });
    deepStrictEqual(
      findUnusedMesh(one([8], [null], "param"), { mesh: thin, rules: {}, zero: none }).idle.map(({ name }) => name),
      ["data"],
    );
  });
});

describe("propagation", () => {
  const shardings = (build: (g: GraphBuilder) => void, options: Partial<PropagateOptions> = {}): Record<string, string> => {
    const g = new GraphBuilder("g");
    build(g);
    const { graph } = propagate(g.finish(), { mesh, rules: { batch: "data" }, zero: none, ...options });
    return Object.fromEntries(graph.values.map((value) => [value.name, shardingOf(value)]));
  };

  it("shardings pass forward and backward through ops, and through a reshape only as far as its factors are whole", () => {
    const x = (g: GraphBuilder, ...dims: number[]): Value => g.parameter("x", f32(...dims), ["batch", "mlp"], "batch");
    const of = shardings(
      (g) => {
        const split = g.named("split", g.reshape(x(g, 8, 16), [8, 4, 4]));
        const hidden = g.named("hidden", g.negate(split));
        g.output("y", g.named("merged", g.reshape(hidden, [8, 16])));
        g.output("z", g.named("both", g.reshape(hidden, [32, 4])));
      },
      { rules: { batch: "data", mlp: "model" } },
    );
    deepStrictEqual(of, {
      x: "[data, model]",
      split: "[data, model, -]",
      hidden: "[data, model, -]",
      merged: "[data, model]",
      // data splits the 8 rows by 4: the minor factor cannot be split before the major factor is whole.
      both: "[data, -]",
    });
  });

  it("params, batches, optimizer states, gradients and constrained values are closed: propagation does not split them", () => {
    for (const role of ["param", "gathered", "optimizer", "gradient", "batch"] as const)
      strictEqual(
        shardings((g) => {
          const w = g.parameter("w", f32(8, 8), [null, null], role);
          g.output("y", g.add(g.parameter("x", f32(8, 8), ["batch", null], "batch"), w));
        })["w"],
        "[-, -]",
        role,
      );
    const build = (g: GraphBuilder): void => {
      const free = g.parameter("free", f32(8, 8));
      g.output("y", g.add(g.parameter("x", f32(8, 8), ["batch", null], "batch"), free));
    };
    strictEqual(shardings(build)["free"], "[data, -]");
    const constraints = new Map([["free", parseSharding(mesh, "[-, -]")]]);
    strictEqual(shardings(build, { constraints })["free"], "[-, -]");
    strictEqual(shardings(build, { constraints, open: new Map([["free", [true, false]]]) })["free"], "[data, -]");
    strictEqual(shardings(build, { constraints, open: new Map([["free", [false, true]]]) })["free"], "[-, -]");
  });

  it("propagation does not pass through a constrain", () => {
    deepStrictEqual(
      shardings((g) => {
        const x = g.named("before", g.negate(g.parameter("p", f32(8, 8))));
        g.output("y", g.named("after", g.negate(g.constrain(x, ["batch", null]))));
      }),
      { p: "[-, -]", before: "[-, -]", constrain: "[data, -]", after: "[data, -]" },
    );
  });

  it("an origin names the rule at the root, its priority, and the op that propagated the axis", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(8, 8), ["batch", null], "batch");
    const w = g.parameter("w", f32(8, 8), ["mlp", null], "param");
    const y = g.dotGeneral(x, w, [], [[1, 1]]);
    g.output("z", g.negate(y));
    const { origins, opOrigins, conflicts } = propagate(g.finish(), { mesh, rules: { batch: "data", mlp: "model" }, zero: none });
    const [batch, mlp] = [
      { priority: Priority.batch, root: "rule batch → data" },
      { priority: Priority.rule, root: "rule mlp → model" },
    ];
    const table = (map: ReadonlyMap<number, unknown> | undefined): unknown[] => [map?.get(0), map?.get(1), map?.get(2), map?.get(3)];
    deepStrictEqual(table(origins[0]), [batch, batch, undefined, undefined]);
    deepStrictEqual(table(origins[2]), [
      { ...batch, via: 2 },
      { ...batch, via: 2 },
      { ...mlp, via: 2 },
      { ...mlp, via: 2 },
    ]);
    deepStrictEqual(table(origins[3]), [
      { ...batch, via: 3 },
      { ...batch, via: 3 },
      { ...mlp, via: 3 },
      { ...mlp, via: 3 },
    ]);
    deepStrictEqual(table(opOrigins[2]), [batch, batch, mlp, mlp]);
    deepStrictEqual(conflicts, []);
  });
});
