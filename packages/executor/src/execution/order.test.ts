import assert from "node:assert/strict";
import { compile, lower } from "@lapidary/compiler";
import { GraphBuilder, collectiveNames, tensorType } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { unfusedItems } from "../fusion/index.js";
import { makePlan } from "../plan/make-plan.js";
import { orderOf } from "./order.js";

/** Layers of x · w with w split over the workers: each is gathered before its product. */
function order(layers: number, width: number): { readonly kind: string; readonly op: string; readonly id: number }[] {
  const g = new GraphBuilder("layers");
  const ws = Array.from({ length: layers }, (_, i) =>
    g.parameter(`w${i}`, tensorType("f32", [width, width]), ["rows", "columns"], "param"),
  );
  let x = g.parameter("x", tensorType("f32", [8, width]), ["batch", null], "batch");
  for (const w of ws) x = g.tanh(g.dotGeneral(x, w, [], [[1, 0]]));
  g.output("y", x);
  const mesh = makeMesh({ data: 2 });
  const { chip } = compile(g.finish(), { mesh, rules: { batch: "data" }, zero: { stage: 3, axes: ["data"] } });
  const plan = makePlan(lower(chip, makeWorkerGrid(mesh, 2)).graph, { roundProducts: false });
  return orderOf(plan, unfusedItems(plan)).map(({ kind, node }) => ({ kind, op: node.op, id: node.id }));
}

describe("orders", () => {
  it("begin gathers before what goes before their use", () => {
    const places = order(3, 16);
    const starts = places.flatMap(({ kind, op }, i) => (kind === "start" && op === "all_gather" ? [i] : []));
    const firstProduct = places.findIndex(({ op }) => op === "dot_general");
    assert.equal(starts.length, 3);
    assert.ok(
      starts.every((i) => i < firstProduct),
      "all gathers are on their way before the first product",
    );
  });

  it("do not begin more than fits the room for it", () => {
    // Each gathered weight has 16 MiB.
    const places = order(4, 2048);
    const firstProduct = places.findIndex(({ op }) => op === "dot_general");
    assert.equal(places.slice(0, firstProduct).filter(({ kind, op }) => kind === "start" && op === "all_gather").length, 2);
  });

  it("finish each collective once, after its start and before its first use", () => {
    const places = order(4, 64);
    for (const { id } of places.filter(({ op }) => collectiveNames.has(op as never))) {
      const [start, finish] = ["start", "finish"].map((kind) => places.findIndex((place) => place.id === id && place.kind === kind)) as [
        number,
        number,
      ];
      assert.ok(start >= 0 && finish > start, `${must(places[start], "start").op} ${id}`);
      assert.equal(places.filter((place) => place.id === id).length, 2);
    }
  });
});
