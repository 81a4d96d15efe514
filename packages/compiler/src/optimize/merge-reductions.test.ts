import { strictEqual } from "node:assert/strict";
import { type Graph, GraphBuilder, type Sharding, type Value, tensorType } from "@lapidary/ir";
import { makeMesh } from "@lapidary/topology";
import { fusedValues } from "../memory/fusion.js";
import { mergeReductions } from "./merge-reductions.js";

const sharding: Sharding = { dims: [[]], unreduced: [], reduction: "sum" };

/** A sum that grows by one term in each chunk, or outside of chunks. */
function sums(inChunks: boolean): Graph {
  const g = new GraphBuilder("sums", "chip", makeMesh({ data: 2 }));
  const x = g.push("parameter", [], { name: "x" }, tensorType("f32", [3]), { sharding });
  const made = (op: "negate" | "add", inputs: readonly Value[]): Value => g.op(op, inputs, {}, { sharding });
  let total = made("negate", [x]);
  for (let i = 0; i < 3; i++) {
    const step = (): Value => made("add", [total, g.op("reshape", [made("negate", [x])], { dims: [3] }, { sharding })]);
    total = inChunks ? g.chunk("loss", i, step) : step();
  }
  g.output("total", total);
  return g.finish();
}

/** The largest distance between an addition and the additions that it reads. */
const reach = ({ values }: Graph): number =>
  Math.max(0, ...values.flatMap(({ op, id, inputs }) => (op === "add" ? inputs.map((input) => id - input) : [])));

describe("mergeReductions", () => {
  it("the sum of a chunk of the loss stays in the chunk, so that its terms are freed before the next", () => {
    const graph = sums(true);
    strictEqual(reach(mergeReductions(graph)), reach(graph));
  });

  it("a sum outside of chunks is rebuilt where its last term is known", () => {
    const graph = sums(false);
    strictEqual(reach(mergeReductions(graph)) > reach(graph), true);
  });
});

describe("fusedValues", () => {
  it("a value of one chunk has a buffer of its own if another chunk reads it", () => {
    const buffers = (graph: Graph): number => fusedValues(graph).filter((fused, id) => graph.values[id]?.op === "add" && !fused).length;
    strictEqual(buffers(sums(true)), 3);
    strictEqual(buffers(sums(false)), 1);
  });
});
