import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { GraphBuilder, tensorType } from "@lapidary/ir";
import { makeMesh } from "@lapidary/topology";
import { compile } from "../compile.js";
import { gradients } from "../differentiate/index.js";

const mesh = makeMesh({ data: 2, expert: 2 });
const rules = { batch: ["data", "expert"], experts: "expert", expert_batch: "data" };

/** Rows [8, 4, 16] that are constrained to rows, then to experts, and multiplied by a weight of each expert. */
function exchange(): ReturnType<typeof compile> {
  const g = new GraphBuilder("exchange");
  const x = g.parameter("x", tensorType("f32", [8, 4, 16]), ["batch", null, null], "batch");
  const w = g.parameter("w", tensorType("f32", [4, 16, 8]), ["experts", null, null], "param");
  const rows = g.constrain(g.tanh(x), ["batch", null, null]);
  const y = g.dotGeneral(g.constrain(rows, ["expert_batch", "experts", null]), w, [[1, 0]], [[2, 1]]);
  const loss = g.reduce(g.square(y), [0, 1, 2], "sum");
  g.output("loss", loss);
  gradients(g, loss, [x]).forEach((grad) => g.output("grad", g.named("grad", grad, ["batch", null, null], "gradient")));
  return compile(g.finish(), { mesh, rules, zero: { stage: 0, axes: [] } });
}

describe("constrain", () => {
  it("the partitioner moves an axis between dims at a constrain by one all_to_all, and back for the gradient", () => {
    const { values } = exchange().chip;
    const moves = values.flatMap((value) =>
      value.op === "all_to_all" ? [[value.scope.phase, value.attrs.axes, value.attrs.concatDimension, value.attrs.splitDimension]] : [],
    );
    deepStrictEqual(moves, [
      ["forward", ["expert"], 0, 1],
      ["backward", ["expert"], 1, 0],
    ]);
    strictEqual(values.filter(({ op }) => op === "all_gather").length, 0);
  });

  it("programs of chips contain no constrain", () => {
    strictEqual(
      exchange().chip.values.some(({ op }) => op === "constrain"),
      false,
    );
  });
});
