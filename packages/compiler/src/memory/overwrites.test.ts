import { deepStrictEqual } from "node:assert/strict";
import { bytesOf, GraphBuilder, tensorType } from "@lapidary/ir";
import { planMemory, verifyMemory } from "./memory.js";

describe("operands that the chip overwrites", () => {
  it("a value is written into the buffer of an operand that no later step reads, if the chip can overwrite it", () => {
    const g = new GraphBuilder("overwrite");
    const input = g.parameter("input", tensorType("f32", [8]), [null], "batch");
    const [first, second] = [g.tanh(input), g.exponential(input)];
    const sum = g.add(first, second);
    g.output("result", g.negate(g.add(sum, second)));
    const graph = g.finish();
    const order = graph.values.filter(({ op }) => op !== "parameter").map(({ id }) => id);
    const schedule = { order, startBefore: new Map<number, number>() };
    const view = { bytes: (value: (typeof graph.values)[number]) => bytesOf(value.type), fused: graph.values.map(() => false) };
    const buffers = (overwrites?: (value: (typeof graph.values)[number]) => readonly number[]): number[] => {
      const plan = planMemory(graph, schedule, overwrites === undefined ? view : { ...view, overwrites });
      verifyMemory(plan, order.length);
      return plan.buffers.map(({ value }) => value);
    };
    deepStrictEqual(
      buffers(),
      graph.values.map(({ id }) => id),
    );
    // The first sum replaces `first`, because the second sum still reads `second`. The second sum replaces the first, and its negative the second.
    deepStrictEqual(
      buffers(({ inputs }) => inputs),
      [input, first, second].map(({ id }) => id),
    );
  });
});
