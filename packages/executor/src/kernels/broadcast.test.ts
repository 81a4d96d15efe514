import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { GraphBuilder, interpret, tensorType } from "@lapidary/ir";
import { seededRandom } from "@lapidary/std";
import { openDevice } from "../device/device.js";
import { broadcastSteps } from "./shape.js";
import { difference, evaluateByKernels, randomInputsOf } from "./testing.js";

describe("broadcast_in_dim", () => {
  it("one call repeats up to five groups of neighbouring dims, and more groups need more calls", () => {
    deepStrictEqual(broadcastSteps([1, 3, 1, 4, 1], [2, 3, 3, 4, 4]), [[2, 3, 3, 4, 4]]);
    deepStrictEqual(broadcastSteps([1, 1, 3, 3, 1, 1], [2, 5, 3, 3, 4, 4]), [[2, 5, 3, 3, 4, 4]]);
    deepStrictEqual(broadcastSteps([1, 3, 1, 4, 1, 2], [2, 3, 3, 4, 4, 2]), [
      [1, 3, 1, 4, 4, 2],
      [2, 3, 3, 4, 4, 2],
    ]);
    // A dim of 1 in the result belongs to any group.
    deepStrictEqual(broadcastSteps([1, 3, 1, 1, 1, 2], [2, 3, 3, 1, 4, 2]), [[2, 3, 3, 1, 4, 2]]);
    deepStrictEqual(broadcastSteps([3, 1, 4, 1, 2, 1, 1], [3, 2, 4, 2, 2, 5, 6]), [
      [3, 1, 4, 1, 2, 5, 6],
      [3, 2, 4, 2, 2, 5, 6],
    ]);
  });

  it("an operand is repeated along any of six dims", async () => {
    const device = await openDevice();
    const dims = [2, 3, 2, 3, 2, 3];
    let compared = 0;
    for (let bits = 0; bits < 1 << dims.length; bits++) {
      const kept = dims.map((_, d) => d).filter((d) => ((bits >> d) & 1) === 1);
      const g = new GraphBuilder("broadcast");
      const x = g.parameter(
        "x",
        tensorType(
          "f32",
          kept.map((d) => dims[d] ?? 0),
        ),
      );
      g.output("y", g.op("broadcast_in_dim", [x], { dims, broadcastDimensions: kept }));
      const graph = g.finish();
      const inputs = randomInputsOf(seededRandom(bits), graph);
      const [got, want] = [evaluateByKernels(device, graph, inputs).get("y"), interpret(graph, inputs).get("y")];
      if (got === undefined || want === undefined) throw new Error("both have the output");
      strictEqual(difference(got, want), 0, `dims ${kept.join()} are kept`);
      compared++;
    }
    strictEqual(compared, 64);
  });
});
