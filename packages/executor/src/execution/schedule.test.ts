import assert from "node:assert/strict";
import { compile, lower } from "@lapidary/compiler";
import { GraphBuilder, collectiveNames, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { unfusedItems } from "../fusion/index.js";
import { makePlan } from "../plan/make-plan.js";
import { makeSchedule } from "./schedule.js";

/** Layers of x · w, with w split over the workers. Each w is gathered before its matmul. */
function scheduleOf(layers: number, width: number): { readonly kind: string; readonly op: string; readonly id: number }[] {
  const g = new GraphBuilder("layers");
  const ws = Array.from({ length: layers }, (_, i) =>
    g.parameter(`w${i}`, tensorType("f32", [width, width]), ["rows", "columns"], "param"),
  );
  let x = g.parameter("x", tensorType("f32", [8, width]), ["batch", null], "batch");
  for (const w of ws) x = g.tanh(g.dotGeneral(x, w, [], [[1, 0]]));
  g.output("y", x);
  const mesh = makeMesh({ data: 2 });
  const { chip } = compile(g.finish(), { mesh, rules: { batch: "data" }, zero: { stage: 3, axes: ["data"] } });
  const plan = makePlan(lower(chip, makeWorkerGrid(mesh, 2)).graph, { roundMatmulOperands: false });
  return makeSchedule(plan, unfusedItems(plan)).map(({ kind, node }) => ({ kind, op: node.op, id: node.id }));
}

describe("schedules", () => {
  it("a gather starts before the items that precede its use", () => {
    const items = scheduleOf(3, 16);
    const starts = items.flatMap(({ kind, op }, i) => (kind === "start" && op === "all_gather" ? [i] : []));
    const firstProduct = items.findIndex(({ op }) => op === "dot_general");
    assert.equal(starts.length, 3);
    assert.ok(
      starts.every((i) => i < firstProduct),
      "all gathers start before the first matmul",
    );
  });

  it("a schedule starts early at most 32 MiB of gathers", () => {
    // Each gathered weight has 16 MiB.
    const items = scheduleOf(4, 2048);
    const firstProduct = items.findIndex(({ op }) => op === "dot_general");
    assert.equal(items.slice(0, firstProduct).filter(({ kind, op }) => kind === "start" && op === "all_gather").length, 2);
  });

  it("each collective finishes once, after its start", () => {
    const items = scheduleOf(4, 64);
    for (const { id } of items.filter(({ op }) => collectiveNames.has(op as never))) {
      const [start, finish] = ["start", "finish"].map((kind) => items.findIndex((item) => item.id === id && item.kind === kind)) as [
        number,
        number,
      ];
      assert.ok(start >= 0 && finish > start, `${ensure(items[start], "start").op} ${id}`);
      assert.equal(items.filter((item) => item.id === id).length, 2);
    }
  });
});
