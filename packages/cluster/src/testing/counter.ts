import { type Graph, GraphBuilder, parseSharding, type Sharding, tensorType } from "@lapidary/ir";
import { handleOf } from "@lapidary/protocol";
import { makeMesh } from "@lapidary/topology";

export const mesh = makeMesh({ data: 2, model: 2 });
export const sharding = (text: string): Sharding => parseSharding(mesh, text);

const state = handleOf("s");
/** The program adds 1 to its state in place. */
export const counts = { inputs: new Map([["s", state]]), outputs: new Map([["s", state]]), donate: [state] };

/** next = s + 1, and s · s summed over all chips. */
export function counter(): Graph {
  const g = new GraphBuilder("counter", "chip", mesh);
  const s = g.push("parameter", [], { name: "s" }, tensorType("f32", [4]), { name: "s", sharding: sharding("[data]") });
  const one = g.op("constant", [], { value: 1, dims: [4], dtype: "f32" }, { name: "one", sharding: sharding("[data]") });
  const next = g.op("add", [s, one], {}, { name: "next", sharding: sharding("[data]") });
  const squares = g.op("multiply", [s, s], {}, { name: "squares", sharding: sharding("[data]") });
  const partial = g.op("reduce", [squares], { dims: [0], kind: "sum" }, { name: "partial", sharding: sharding("[] unreduced data") });
  const sum = g.op("all_reduce", [partial], { axes: ["data"], size: 2, kind: "sum" }, { name: "sum", sharding: sharding("[]") });
  g.output("s", next);
  g.output("sum", sum);
  return g.finish();
}
