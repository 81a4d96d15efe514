import { deepStrictEqual, ok } from "node:assert/strict";
import { collectiveNames, type Graph, type LocalOpName, type OpName, ops } from "@lapidary/ir";
import { seededRandom } from "@lapidary/std";
import { randomCase, randomGraph, withGradients } from "./random-graph.js";

/** Number of occurrences of each op in `count` graphs, and of each form of its attributes and operands. */
function histogram(count: number, make: (seed: number) => Graph): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  for (let seed = 0; seed < count; seed++) {
    const { values } = make(seed);
    for (const value of values) {
      add(value.op);
      const [first] = value.inputs.map((id) => values[id]);
      const rank = value.type.dims.length;
      switch (value.op) {
        case "compare":
          add(`compare ${value.attrs.direction}`);
          break;
        case "reduce":
          add(`reduce ${value.attrs.kind} ${rank === 0 ? "all" : value.attrs.dims.length === 1 ? "one dim" : "several dims"}`);
          break;
        case "broadcast_in_dim":
          add(`broadcast_in_dim ${first?.type.dims.length === rank ? "stretches" : "adds dims"}`);
          break;
        case "dot_general":
          add(`dot_general ${value.attrs.batch.length > 0 ? "batched" : "plain"}, ${value.attrs.contracting.length} contracted`);
          break;
        case "gather":
        case "scatter":
          add(
            `${value.op} ${value.attrs.batch === undefined ? "ids" : "of each row, ids"} of ${values[value.inputs[value.op === "gather" ? 1 : 0] ?? -1]?.type.dims.length} dims`,
          );
          break;
        case "shift": {
          const { by, wrap } = value.attrs;
          add(`shift ${by === 0 ? "by none" : by > 0 ? "on" : "back"}${wrap ? ", around" : ""}`);
          break;
        }
        case "pick":
          add(`pick from a dim ${value.attrs.from < value.attrs.by ? "before" : "after"}`);
          break;
        case "pad":
          add(`pad ${value.attrs.low.some((low, d) => low !== value.attrs.high[d]) ? "uneven" : "even"}`);
          break;
        case "slice":
          add(`slice ${value.attrs.start.some((start) => start > 0) ? "inside" : "from the start"}`);
          break;
        case "concatenate":
          add(`concatenate ${value.inputs.length}`);
          break;
        case "transpose":
          add(`transpose ${value.attrs.permutation.join("")}`);
          break;
      }
    }
  }
  return counts;
}

describe("random graphs", () => {
  const localOps = (Object.keys(ops) as OpName[]).filter((name): name is LocalOpName => !collectiveNames.has(name));
  const forms = [
    ...["EQ", "NE", "LT", "LE", "GT", "GE"].map((direction) => `compare ${direction}`),
    ...["sum all", "sum one dim", "sum several dims", "max one dim", "min one dim"].map((form) => `reduce ${form}`),
    ...["broadcast_in_dim stretches", "broadcast_in_dim adds dims"],
    ...["plain, 1", "plain, 2", "batched, 1", "batched, 2"].map((form) => `dot_general ${form} contracted`),
    ...["gather ids of 1 dims", "gather ids of 2 dims", "scatter ids of 1 dims", "scatter ids of 2 dims"],
    ...["gather of each row, ids of 2 dims", "gather of each row, ids of 3 dims", "scatter of each row, ids of 2 dims"],
    ...["shift on", "shift back", "shift by none", "shift on, around", "shift back, around"],
    ...["pick from a dim before", "pick from a dim after"],
    ...["pad even", "pad uneven", "slice inside", "slice from the start", "concatenate 2", "concatenate 3"],
    ...["transpose 10", "transpose 120", "transpose 201", "transpose 210", "transpose 021", "transpose 102"],
  ];

  it("random graphs contain every op, in every form of its attributes", () => {
    const counts = histogram(6000, (seed) => randomCase(seed).graph);
    const rare = [...localOps, ...forms].filter((key) => (counts.get(key) ?? 0) < 20);
    deepStrictEqual(
      rare.map((key) => `${key}: ${counts.get(key) ?? 0}`),
      [],
    );
  });

  it("random graphs are differentiated through gather and select", () => {
    const counts = histogram(300, (seed) => withGradients(randomCase(seed).graph));
    ok((counts.get("scatter") ?? 0) > 100 && (counts.get("select") ?? 0) > 100);
  });

  it("smooth random graphs contain no op with a kink", () => {
    const counts = histogram(500, (seed) => randomGraph(seededRandom(seed), 8, { smooth: true }));
    for (const op of ["maximum", "minimum", "select", "compare", "abs", "stop_gradient", "reduce max one dim"])
      deepStrictEqual([op, counts.get(op)], [op, undefined]);
  });
});
