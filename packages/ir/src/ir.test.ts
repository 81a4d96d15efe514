import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { LapidaryError } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import {
  type Graph,
  GraphBuilder,
  type OpName,
  type Value,
  blocksOf,
  lossChunkCount,
  interpret,
  opDef,
  ops,
  parseGraph,
  parseSharding,
  parseType,
  printGraph,
  printSharding,
  printType,
  reshapeFactors,
  sizeOf,
  tensor,
  tensorType,
  textForDigest,
  verifyGraph,
  withoutBlocks,
} from "./index.js";

const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);

describe("types and shardings", () => {
  it("the printed text of a type or a sharding parses to an equal value", () => {
    for (const text of ["f32[4,16]", "i32[]", "pred[1]", "bf16[2,3,4]"]) strictEqual(printType(parseType(text)), text);
    const mesh = makeMesh({ data: 4, model: 4 });
    for (const text of ["[data, -]", "[-, model:(1)2]", "[data+model, -] unreduced-max model:(2)2", "[] unreduced data+model"]) {
      if (text.startsWith("[data+model")) continue;
      strictEqual(printSharding(mesh, parseSharding(mesh, text)), text);
    }
  });
});

describe("factors of a reshape", () => {
  const dimsOf = (from: number[], to: number[]): { input: number[][]; output: number[][]; kinds: string } => {
    const { factors, inputs, output } = reshapeFactors(from, to);
    return {
      input: (inputs[0] ?? []).map((list) => list.map((f) => factors[f]?.size ?? 0)),
      output: output.map((list) => list.map((f) => factors[f]?.size ?? 0)),
      kinds: factors.map((f) => f.kind[0]).join(""),
    };
  };

  it("a reshape that splits a dim has one factor for each part, major to minor", () => {
    deepStrictEqual(dimsOf([2, 12], [2, 3, 4]), { input: [[2], [3, 4]], output: [[2], [3], [4]], kinds: "ppp" });
  });

  it("a reshape that merges dims has one factor for each dim", () => {
    deepStrictEqual(dimsOf([2, 3, 4], [6, 4]), { input: [[2], [3], [4]], output: [[2, 3], [4]], kinds: "ppp" });
  });

  it("a reshape shares the common divisor of two dims and replicates the rest of the group", () => {
    const { input, output, kinds } = dimsOf([6, 4], [4, 6]);
    deepStrictEqual([input[0]?.[0], output[0]?.[0]], [2, 2]);
    strictEqual(kinds.slice(1).includes("p"), false);
  });

  it("the factors of any reshape cover every dim exactly", () => {
    const dims = fc.array(fc.constantFrom(1, 2, 3, 4, 6, 8, 12), { minLength: 0, maxLength: 4 });
    fc.assert(
      fc.property(dims, fc.integer(), (from, seed) => {
        // A random regrouping of the same number of elements.
        let rest = sizeOf(from);
        const to: number[] = [];
        for (let s = Math.abs(seed); rest > 1 && to.length < 4; s = (s * 31 + 7) % 1000003) {
          const divisors = Array.from({ length: rest }, (_, i) => i + 1).filter((n) => rest % n === 0);
          const d = divisors[s % divisors.length] ?? 1;
          to.push(d);
          rest /= d;
        }
        to.push(rest);
        const { factors, inputs, output } = reshapeFactors(from, to);
        const product = (list: readonly number[]): number => list.reduce((n, f) => n * (factors[f]?.size ?? 1), 1);
        deepStrictEqual((inputs[0] ?? []).map(product), from);
        deepStrictEqual(output.map(product), to);
        // Shared factors have the same order on both sides, because each is one part of the flat index.
        const shared = (lists: readonly (readonly number[])[]): number[] => lists.flat().filter((f) => factors[f]?.kind === "pass");
        deepStrictEqual(shared(inputs[0] ?? []), shared(output));
      }),
    );
  });
});

describe("graphs", () => {
  it("the builder rejects operands that do not fit an op, and prints their types", () => {
    const g = new GraphBuilder("bad");
    const [a, b] = [g.parameter("a", f32(2, 3)), g.parameter("b", f32(3, 2))];
    const shape = (e: unknown): boolean => e instanceof LapidaryError && e.code === "LAP_IR_SHAPE" && e.message.includes("f32[2,3]");
    throws(() => g.add(a, b), shape);
    throws(() => g.dotGeneral(a, b, [], [[0, 0]]), shape);
    throws(() => g.op("reshape", [a], { dims: [7] }), shape);
    throws(() => g.op("transpose", [a], { permutation: [0, 0] }), shape);
    throws(() => g.slice(a, [0, 2], [2, 4]), shape);
    throws(() => g.concatenate([a, b], 0), shape);
    throws(() => g.reduce(a, [2], "sum"), shape);
    throws(() => g.gather(a, b), shape);
    throws(() => g.select(a, a, a), shape);
    throws(() => g.op("broadcast_in_dim", [a], { dims: [2, 4], broadcastDimensions: [0, 1] }), shape);
  });

  it("the text of a graph contains the scope of each value", () => {
    const graph = scoped();
    const text = printGraph(graph);
    deepStrictEqual(parseGraph(text), graph);
    deepStrictEqual(
      text.split("\n").flatMap((line) => / : f32\[2,3\](.*)$/.exec(line)?.[1] ?? []),
      [
        " #4 @w",
        " @x",
        " #0 @layers.0.negate",
        " !backward #0 @negate",
        " !recompute @negate",
        " !update #4 @negate",
        " !update @constant",
        " !update #10 @layers.10.add",
        " @negate",
      ],
    );
  });

  it("the text for digests differs from the printed text only by the blocks", () => {
    const graph = scoped();
    const without = { ...graph, values: graph.values.map((value) => ({ ...value, scope: { phase: value.scope.phase } }) as Value) };
    strictEqual(textForDigest(graph), printGraph(without));
    ok(textForDigest(graph) !== printGraph(graph));
  });

  it("the text of a graph contains the chunk of each value, which the digest reads", () => {
    const g = new GraphBuilder("pieces");
    const x = g.parameter("x", f32(2, 3));
    g.output(
      "y",
      g.block("layers", 3, () => g.chunk("loss", 1, () => g.inPhase("update", () => g.negate(x)))),
    );
    const graph = g.finish();
    deepStrictEqual(parseGraph(printGraph(graph)), graph);
    ok(printGraph(graph).includes("!update #3 ~1 @layers.3.loss.1.negate"));
    ok(textForDigest(graph).includes("!update ~1 @"));
    deepStrictEqual(blocksOf(graph), new Set([3, 1]));
    deepStrictEqual([lossChunkCount(graph), lossChunkCount(scoped())], [2, 1]);
    const broken = graph.values.map((value) => ({ ...value, scope: { ...value.scope, chunk: -1 } }) as Value);
    throws(() => verifyGraph({ ...graph, values: broken }), /chunk is an index/);
  });

  it("withoutBlocks replaces the numbers of blocks by * and keeps all other numbers", () => {
    deepStrictEqual(blocksOf(scoped()), new Set([4, 0, 10]));
    strictEqual(withoutBlocks("moves layers.10.up to layers.4.w.5.x", new Set([4, 10])), "moves layers.*.up to layers.*.w.5.x");
  });

  it("the error for a line that does not parse names the line", () => {
    const text = printGraph(small());
    const bad = (from: string, to: string, line: number): void =>
      throws(
        () => parseGraph(text.replace(from, to)),
        (e: unknown) => e instanceof LapidaryError && e.code === "LAP_IR_TEXT" && (e.location ?? "").startsWith(`line ${line}`),
      );
    bad("multiply", "multipy", 4);
    bad("%0 = parameter", "%7 = parameter", 2);
    bad("f32[2,3] @x", "f32[2,3 @x", 2);
    bad("@z", "!sideways @z", 4);
    bad("@z", "#one @z", 4);
  });

  it("the verifier rejects a graph that violates an invariant", () => {
    const graph = small();
    verifyGraph(graph);
    const [first, second, third] = graph.values;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three values");
    throws(() => verifyGraph({ ...graph, values: [second, first, third] }), /position/);
    throws(() => verifyGraph({ ...graph, values: [first, second, { ...third, type: f32(9) }] }), /follows from the op/);
    throws(() => verifyGraph({ ...graph, values: [first, second, { ...third, inputs: [2, 1] }] }), /before their uses/);
    throws(() => verifyGraph({ ...graph, outputs: [...graph.outputs, ...graph.outputs] }), /distinct/);
    throws(() => verifyGraph({ ...graph, values: [first, first, third] }), /position|distinct/);
    for (const block of [-1, 0.5])
      throws(
        () => verifyGraph({ ...graph, values: [first, second, { ...third, scope: { block, phase: "forward" } }] }),
        /block is an index/,
      );
  });

  it("gather reads the rows of the ids, and scatter adds rows of equal ids", () => {
    const g = new GraphBuilder("rows");
    const [table, ids, updates] = [
      g.parameter("table", f32(4, 2)),
      g.parameter("ids", tensorType("i32", [3])),
      g.parameter("updates", f32(3, 2)),
    ];
    g.output("taken", g.gather(table, ids));
    g.output("spread", g.scatter(ids, updates, 4));
    const out = interpret(
      g.finish(),
      new Map([
        ["table", tensor("f32", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
        ["ids", tensor("i32", [3], [2, 0, 2])],
        ["updates", tensor("f32", [3, 2], [1, 1, 2, 2, 3, 3])],
      ]),
    );
    deepStrictEqual([...(out.get("taken")?.data ?? [])], [5, 6, 1, 2, 5, 6]);
    deepStrictEqual([...(out.get("spread")?.data ?? [])], [2, 2, 0, 0, 4, 4, 0, 0]);
  });

  it("every op has a definition under its own name", () => {
    for (const name of Object.keys(ops) as OpName[]) strictEqual(opDef<OpName>(name).name, name);
  });
});

/** Values of every pass, in blocks and outside of blocks. */
function scoped(): Graph {
  const g = new GraphBuilder("scoped");
  g.inBlock(4, () => g.parameter("w", f32(2, 3)));
  const x = g.parameter("x", f32(2, 3));
  const a = g.block("layers", 0, () => g.negate(x));
  g.inBlock(0, () => g.inPhase("backward", () => g.negate(a)));
  const again = g.inPhase("recompute", () => g.negate(x));
  g.inPhase("update", () => {
    g.inBlock(4, () => g.negate(again));
    // The constant is added in block 10, and all blocks of the pass share it.
    g.block("layers", 10, () => g.offset(again, 1));
  });
  g.output("z", g.negate(x));
  return g.finish();
}

function small(): ReturnType<GraphBuilder["finish"]> {
  const g = new GraphBuilder("small");
  const [x, y] = [g.parameter("x", f32(2, 3)), g.parameter("y", f32(2, 3))];
  g.output("z", g.named("z", g.multiply(x, y)));
  return g.finish();
}
