import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { GraphBuilder } from "./builder.js";
import { type Graph, type Value, makeScope, parametersOf, passOf, useCounts, usersOf } from "./graph.js";
import { interpret } from "./interpret.js";
import { parseGraph } from "./parse.js";
import { printGraph } from "./print.js";
import { runsOf, yieldsByCarry } from "./region.js";
import {
  type Sharding,
  globalDims,
  localDims,
  parseSharding,
  printSharding,
  replicated,
  sameAtomSet,
  sameAtoms,
  sameSharding,
  verifySharding,
} from "./sharding.js";
import { tensor } from "./tensor.js";
import { bytesOf, isFloat, parseType, sameDims, sameType, stridesOf, tensorType } from "./types.js";
import { verifyGraph } from "./verify.js";

const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);
const mesh = makeMesh({ data: 4, model: 4 });

describe("types", () => {
  it("strides are row-major, and bytes are those of the dtype", () => {
    deepStrictEqual([stridesOf([2, 3, 4]), stridesOf([5]), stridesOf([])], [[12, 4, 1], [1], []]);
    deepStrictEqual(
      (["f32", "bf16", "i32", "pred"] as const).map((dtype) => bytesOf(tensorType(dtype, [2, 3]))),
      [24, 12, 24, 6],
    );
    deepStrictEqual((["f32", "bf16", "i32", "pred"] as const).map(isFloat), [true, true, false, false]);
  });

  it("types are equal if dtype and dims are", () => {
    deepStrictEqual(
      [sameDims([2, 3], [2, 3]), sameDims([2], [2, 3]), sameDims([2, 3], [2]), sameDims([2, 4], [2, 3])],
      [true, false, false, false],
    );
    deepStrictEqual([sameType(f32(2), f32(2)), sameType(f32(2), tensorType("i32", [2])), sameType(f32(2), f32(3))], [true, false, false]);
  });

  it("a text that is not a type is an error", () => {
    for (const text of ["f32", "f32[2", "xf32[2]", "f32[2]x", "f64[2]", "f32[2,]", "f32[-1]"])
      throws(() => parseType(text), /text of a type/, text);
    deepStrictEqual(parseType("pred[10,234]"), tensorType("pred", [10, 234]));
  });
});

describe("shardings", () => {
  const sharding = (text: string): Sharding => parseSharding(mesh, text);

  it("a chip has the dims of its part, and the dims of the whole array follow from these", () => {
    const split = sharding("[data+model, -, model:(1)2]".replace("+model", ""));
    deepStrictEqual(
      [localDims(mesh, [8, 3, 6], split), globalDims(mesh, [2, 3, 3], split)],
      [
        [2, 3, 3],
        [8, 3, 6],
      ],
    );
    throws(() => localDims(mesh, [6, 3, 6], split), /divide their dim/);
    deepStrictEqual(replicated(2), { dims: [[], []], unreduced: [], reduction: "sum" });
    deepStrictEqual(
      [localDims(mesh, [5, 7], replicated(2)), globalDims(mesh, [5, 7], replicated(2))],
      [
        [5, 7],
        [5, 7],
      ],
    );
  });

  it("shardings are equal if each dim has the same axes in order, and the same partial values exist", () => {
    const texts = [
      "[data, -]",
      "[model, -]",
      "[-, data]",
      "[data, -] unreduced model",
      "[data, -] unreduced-max model",
      "[data+model, -]",
      "[data]",
    ];
    for (const a of texts) for (const b of texts) strictEqual(sameSharding(sharding(a), sharding(b)), a === b, `${a} and ${b}`);
    // The kind of reduction means nothing without partial values, and their axes have no order.
    strictEqual(sameSharding(sharding("[data]"), { ...sharding("[data]"), reduction: "max" }), true);
    strictEqual(sameSharding({ ...replicated(1), unreduced: [0, 1] }, { ...replicated(1), unreduced: [1, 0] }), true);
    deepStrictEqual(
      [sameAtoms([0, 1], [0, 1]), sameAtoms([0, 1], [1, 0]), sameAtoms([0], [0, 1]), sameAtoms([0, 1], [0])],
      [true, false, false, false],
    );
    deepStrictEqual(
      [sameAtomSet([0, 1], [1, 0]), sameAtomSet([0], [0, 1]), sameAtomSet([0, 1], [0]), sameAtomSet([0, 2], [0, 1])],
      [true, false, false, false],
    );
  });

  it("a sharding has one entry for each dim, and no axis twice", () => {
    verifySharding(sharding("[data, model]"), 2);
    throws(() => verifySharding(sharding("[data]"), 2), /one entry per dim/);
    throws(() => verifySharding(sharding("[data, data]"), 2), /twice/);
    throws(() => verifySharding(sharding("[data] unreduced data"), 1), /twice/);
  });

  it("the text of a sharding names axes and sub-axes, major to minor, and the kind of reduction", () => {
    for (const text of ["[data+model, -]", "[] unreduced data+model", "[-] unreduced-min model:(2)2", "[model:(1)2+data]", "[]"])
      strictEqual(printSharding(mesh, sharding(text)), text);
    strictEqual(printSharding(mesh, { ...replicated(0), unreduced: [3, 2, 1, 0] }), "[] unreduced data+model");
    for (const text of ["data", "[data", "x[data]", "[data] x", "[data] unreduced"])
      throws(() => sharding(text), /text of a sharding/, text);
  });
});

describe("the builder of graphs", () => {
  it("a value has its name, axes, role, sharding and cause only if they are given", () => {
    const g = new GraphBuilder("g", "chip", mesh);
    const sharding = replicated(1);
    const x = g.push("parameter", [], { name: "x" }, f32(2), { name: "x", logicalAxes: ["a"], role: "param", sharding, cause: "why" });
    deepStrictEqual(x, {
      ...{ id: 0, op: "parameter", attrs: { name: "x" }, inputs: [], type: f32(2), name: "x" },
      ...{ logicalAxes: ["a"], sharding, role: "param", scope: { phase: "forward" }, cause: "why" },
    });
    deepStrictEqual(Object.keys(g.negate(x)).sort(), ["attrs", "id", "inputs", "name", "op", "scope", "type"]);
    deepStrictEqual(g.finish().mesh, mesh);
    deepStrictEqual(Object.keys(new GraphBuilder("g").finish()).sort(), ["level", "name", "outputs", "values"]);
  });

  it("names have the prefixes of their scopes, and `named` keeps what it does not set", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(2), ["a"], "batch");
    const y = g.scope("outer", () => g.scope("inner", () => g.named("y", g.negate(x), ["b"], "gradient")));
    deepStrictEqual([y.name, y.logicalAxes, y.role], ["outer.inner.y", ["b"], "gradient"]);
    const again = g.named("z", y);
    deepStrictEqual([again.name, again.logicalAxes, again.role, g.get(y.id)], ["z", ["b"], "gradient", again]);
    deepStrictEqual([g.renamed(again, "w").name, g.get(y.id).name], ["w", "w"]);
    throws(() => g.scope("failed", () => throws2()), /thrown/);
    strictEqual(g.negate(x).name, "negate");
    throws(() => g.parameter("p", f32(2), ["a", "b"]), /one logical axis per dim/);
    throws(() => g.get(99), /value 99/);
  });

  it("a value belongs to the block, chunk, pass and line in which it is built", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(2));
    const made = g.inLine("f.py:3", () =>
      g.block("layers", 2, () => g.chunk("loss", 1, () => g.inPhase("backward", () => g.inLine("f.py:4", () => g.negate(x))))),
    );
    deepStrictEqual([made.name, made.scope], ["layers.2.loss.1.negate", { block: 2, chunk: 1, line: "f.py:4", phase: "backward" }]);
    deepStrictEqual(g.inLine("f.py:3", () => g.inPhase("update", () => g.negate(x))).scope, { phase: "update" });
    deepStrictEqual(g.block("layers", 2, () => g.inBlock(undefined, () => g.negate(x))).scope, { phase: "forward" });
    deepStrictEqual(makeScope({ phase: "update", block: undefined, region: { id: 1, count: 2 } }), {
      phase: "update",
      region: { id: 1, count: 2 },
    });
  });

  it("equal splats of a pass are one value, and an op that changes nothing is none", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(2, 3));
    strictEqual(g.splat(1, f32(2)), g.splat(1, f32(2)));
    const others = [
      g.splat(2, f32(2)),
      g.splat(1, f32(3)),
      g.splat(1, tensorType("i32", [2])),
      g.inPhase("update", () => g.splat(1, f32(2))),
    ];
    strictEqual(new Set([g.splat(1, f32(2)), ...others]).size, 5);
    strictEqual(g.block("layers", 3, () => g.scope("deep", () => g.splat(7, f32(2)))).name, "constant");
    deepStrictEqual(g.block("layers", 3, () => g.splat(8, f32(2))).scope, { phase: "forward" });
    for (const same of [g.reshape(x, [2, 3]), g.transpose(x, [0, 1]), g.broadcastInDim(x, [2, 3], [0, 1]), g.convert(x, "f32")])
      strictEqual(same, x);
    deepStrictEqual([g.transpose(x, [1, 0]).type.dims, g.reshape(x, [6]).type.dims], [[3, 2], [6]]);
    const ids = g.parameter("ids", tensorType("i32", [2, 3]));
    deepStrictEqual(
      [g.gather(x, ids).attrs, g.gather(x, ids, 1).attrs, g.scatter(ids, x, 4).attrs, g.scatter(ids, x, 4, 1).attrs],
      [{}, { batch: 1 }, { rows: 4 }, { rows: 4, batch: 1 }],
    );
  });

  it("an operand must precede its use, and an op has its number of operands", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32(2));
    for (const id of [-1, 1]) throws(() => g.push("negate", [id], {}, f32(2)), /before their uses/);
    throws(() => g.op("add", [x], {}), /operand count/);
    throws(() => g.op("negate", [x, x], {}), /operand count/);
    throws(() => g.repeat(2, [x], () => []), /one value for each carried value/);
  });

  it("regions have numbers in order, also after values of another graph", () => {
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32());
    const [first] = g.repeat(2, [x], (carried) => carried.map((value) => g.negate(value)));
    const [second] = g.repeat(3, [x], (carried) => carried);
    deepStrictEqual(
      [first?.scope.region, second?.scope.region],
      [
        { id: 0, count: 2 },
        { id: 1, count: 3 },
      ],
    );
    deepStrictEqual(
      [first, second, x].map((value) => value && runsOf(value)),
      [2, 3, 1],
    );
    deepStrictEqual(
      [...yieldsByCarry(g.finish())],
      [
        [1, 3],
        [4, 5],
      ],
    );
    const copy = new GraphBuilder("copy");
    copy.push("parameter", [], { name: "x" }, f32());
    copy.push("carry", [0], {}, f32(), { scope: { phase: "forward", region: { id: 4, count: 2 } } });
    const [after] = copy.repeat(2, [copy.get(0)], (carried) => carried);
    strictEqual(after?.scope.region?.id, 5);
  });

  it("the pass of a recomputation is the backward pass, and uses are counted with outputs", () => {
    deepStrictEqual((["forward", "backward", "recompute", "update"] as const).map(passOf), ["forward", "backward", "backward", "update"]);
    const g = new GraphBuilder("g");
    const x = g.parameter("x", f32());
    const y = g.add(x, x);
    g.output("y", y);
    g.output("also", y);
    g.parameter("z", f32());
    deepStrictEqual(useCounts(g.finish()), [2, 2, 0]);
    deepStrictEqual(usersOf(g.finish()), [[1], [], []]);
    deepStrictEqual(
      parametersOf(g.finish()).map(({ name }) => name),
      ["x", "z"],
    );
  });
});

const throws2 = (): never => {
  throw new Error("thrown");
};

describe("texts of graphs", () => {
  const text = `graph p chip mesh data=4 model=4
%0 = parameter name="x" : f32[1,4] <batch> (batch, -) [data, -] @x
%1 = constant value="-Infinity" dims=[1,4] dtype="f32" : f32[1,4] [data, -] @c // why not
%2 = constant value="Infinity" dims=[] dtype="f32" : f32[] () [] @d
%3 = maximum %0 %1 : f32[1,4] [data, -] !recompute #12 ~3 @m
repeat 12 {
  %4 = carry %3 : f32[1,4] [data, -] @c
  %5 = yield %4 %4 : f32[1,4] [data, -] @c
}
repeat 2 {
  %6 = carry %3 : f32[1,4] [data, -] @c
  %7 = yield %6 %6 : f32[1,4] [data, -] @c
}
%8 = all_gather %5 dimension=0 axes=["data"] size=4 : f32[4,4] [-, -] @g
return y=%8 a=b=%3`;

  it("the text of a program with a mesh, shardings, roles, axes, causes and regions parses to an equal program", () => {
    const graph = parseGraph(text);
    strictEqual(printGraph(graph), text);
    deepStrictEqual(graph.mesh, mesh);
    deepStrictEqual(
      graph.values.slice(0, 3).map(({ attrs, logicalAxes, role, cause }) => [attrs, logicalAxes, role, cause]),
      [
        [{ name: "x" }, ["batch", null], "batch", undefined],
        [{ value: -Infinity, dims: [1, 4], dtype: "f32" }, undefined, undefined, "why not"],
        [{ value: Infinity, dims: [], dtype: "f32" }, [], undefined, undefined],
      ],
    );
    deepStrictEqual(graph.values[3]?.scope, { block: 12, chunk: 3, phase: "recompute" });
    deepStrictEqual(
      [graph.values[4]?.scope.region, graph.values[6]?.scope.region],
      [
        { id: 0, count: 12 },
        { id: 1, count: 2 },
      ],
    );
    deepStrictEqual(graph.outputs, [
      { name: "y", value: 8 },
      { name: "a=b", value: 3 },
    ]);
    // Blank lines mean nothing.
    deepStrictEqual(parseGraph(`\n${text.replace("return", "  \nreturn  ")}\n`), graph);
  });

  it("a text that is not a graph is an error that names its line", () => {
    const bad = (from: string, to: string, line: number, code = "LAP_IR_TEXT"): void => {
      ok(text.includes(from), from);
      throws(
        () => parseGraph(text.replace(from, to)),
        (error: unknown) =>
          error instanceof LapidaryError &&
          error.code === code &&
          (code !== "LAP_IR_TEXT" || (error.location ?? "").startsWith(`line ${line}:`)),
        to,
      );
    };
    bad("graph p chip mesh data=4 model=4", "graph p chip mesh data=4 model=4 x=y", 1, "LAP_MESH_TEXT");
    bad("graph p chip", "graph p chop", 1);
    bad("graph p chip", "x graph p chip", 1);
    bad("graph p chip mesh", "graph p chip meshes", 1);
    bad("repeat 12 {", "repeat 12 { ", 6);
    bad("repeat 12 {", "repeat x12 {", 6);
    bad("%1 = constant", "%2 = constant", 3);
    bad("y=%8", "y", 15);
    bad("y=%8", "=%8", 15);
    bad("y=%8", "y=%9", 15);
    bad("maximum %0 %1", "maximum %0 %9", 5);
    bad("}\nrepeat 2 {", "}\n}\nrepeat 2 {", 10);
    throws(() => parseGraph("\n"), /has a header/);
  });
});

describe("verification of graphs", () => {
  const graph = parseGraph(`graph v global
%0 = parameter name="x" : f32[2] @x
%1 = parameter name="y" : f32[2] @y
repeat 3 {
  %2 = carry %0 : f32[2] @a
  %3 = carry %1 : f32[2] @b
  %4 = add %2 %1 : f32[2] @s
  %5 = yield %2 %4 : f32[2] @a
  %6 = yield %3 %2 : f32[2] @b
}
%7 = negate %5 : f32[2] @n
return n=%7`);
  const changed = (id: number, change: object): Graph => ({
    ...graph,
    values: graph.values.map((value) => (value.id === id ? ({ ...value, ...change } as Value) : value)),
  });
  const rejects = (message: RegExp, broken: Graph): void => throws(() => verifyGraph(broken), message);
  const region = { id: 0, count: 3 };

  it("a valid graph is accepted", () => verifyGraph(graph));

  it("values, names, axes, shardings and outputs must be consistent", () => {
    rejects(/before their uses/, changed(7, { inputs: [-1] }));
    rejects(/before their uses/, changed(7, { inputs: [7] }));
    rejects(/parameter names are distinct/, changed(1, { attrs: { name: "x" } }));
    rejects(/one logical axis per dim/, changed(7, { logicalAxes: ["a", "b"] }));
    rejects(/one entry per dim/, changed(7, { sharding: replicated(2) }));
    for (const value of [-1, 8]) rejects(/outputs exist/, { ...graph, outputs: [{ name: "n", value }] });
    for (const index of [-1, 1.5]) rejects(/block is an index/, changed(7, { scope: { phase: "forward", block: index } }));
    verifyGraph(changed(7, { scope: { phase: "forward", block: 0, chunk: 0 } }));
    const gather = { op: "all_gather", attrs: { dimension: 0, axes: ["data"], size: 2 }, type: f32(4) };
    rejects(/only in per-chip/, changed(7, gather));
    verifyGraph({ ...changed(7, gather), level: "chip" });
    // A block of a worker has another type than the op says.
    verifyGraph({ ...changed(7, { type: f32(9) }), level: "host" });
  });

  it("a region has carries, a body and a yield for each carry, and no values of other regions read them", () => {
    rejects(/belongs to a region/, changed(7, { op: "carry", inputs: [0] }));
    rejects(/belongs to a region/, changed(7, { op: "yield", inputs: [0, 1] }));
    rejects(/belongs to no region/, changed(4, { op: "parameter", attrs: { name: "z" }, inputs: [] }));
    const withoutCarries = graph.values.map((v) => (v.op === "carry" ? ({ ...v, op: "negate" } as Value) : v));
    rejects(/begins with its carries/, { ...graph, values: withoutCarries });
    rejects(/ends with its yields/, changed(3, { op: "negate" }));
    rejects(/one yield|ends with its yields/, changed(6, { inputs: [2, 2] }));
    rejects(/ends with its yields/, changed(5, { op: "negate", inputs: [2] }));
    rejects(/before the region/, changed(3, { inputs: [2] }));
    rejects(/read its yields/, changed(7, { inputs: [4] }));
    rejects(/read its yields/, changed(6, { inputs: [3, 5] }));
    rejects(/outputs of a region/, { ...graph, outputs: [{ name: "n", value: 2 }] });
    rejects(/runs at least once/, {
      ...graph,
      values: graph.values.map((v) => (v.scope.region ? ({ ...v, scope: { ...v.scope, region: { ...region, count: 0.5 } } } as Value) : v)),
    });
    rejects(/ends with its yields/, changed(7, { scope: { phase: "forward", region: { id: 0, count: 3 } } }));
  });

  it("the interpreter runs global graphs on inputs of the right dims", () => {
    const inputs = new Map([
      ["x", tensor("f32", [2], [1, 2])],
      ["y", tensor("f32", [2], [10, 20])],
    ]);
    deepStrictEqual([...(interpret(graph, inputs).get("n")?.data ?? [])], [-31, -62]);
    throws(() => interpret({ ...graph, level: "chip" }, inputs), /runs global graphs/);
    throws(() => interpret(graph, new Map([...inputs, ["x", tensor("f32", [1, 2], [1, 2])]])), /dims/);
    throws(() => interpret(graph, new Map()), /input x/);
    throws(() => tensor("f32", [3], [1, 2]), /fills its dims/);
  });
});
