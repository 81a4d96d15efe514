import assert from "node:assert/strict";
import fc from "fast-check";
import { GraphBuilder, type Tensor, interpret, tensor, tensorType } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { runPlan } from "../execution/testing.js";
import { roundArrayToBf16 } from "./bf16.js";
import { randomArray, scaledDifference } from "./testing.js";

const rounded = (x: Tensor): Tensor => tensor(x.dtype, x.dims, Float64Array.from(roundArrayToBf16(Float32Array.from(x.data))));

describe("the kernel of dot_general", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  const size = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(64, 127, 129, 150));

  it("a matmul adds in f32, under mxu after rounding its operands to bf16, for any sizes, batches and transposes", () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          numerics: fc.constantFrom("f32" as const, "mxu" as const),
          batch: fc.constantFrom(0, 1, 3),
          m: size,
          n: size,
          k: fc.oneof(size, fc.constantFrom(255, 530)),
          left: fc.boolean(),
          right: fc.boolean(),
          seed: fc.nat(),
        }),
        async ({ numerics, batch, m, n, k, left, right, seed }) => {
          const g = new GraphBuilder("product");
          const outer = batch === 0 ? [] : [batch];
          const a = tensorType("f32", [...outer, ...(left ? [k, m] : [m, k])]);
          const b = tensorType("f32", [...outer, ...(right ? [n, k] : [k, n])]);
          const at = outer.length;
          g.output(
            "y",
            g.dotGeneral(g.parameter("a", a), g.parameter("b", b), batch === 0 ? [] : [[0, 0]], [
              [left ? at : at + 1, right ? at + 1 : at],
            ]),
          );
          const graph = g.finish();
          const random = seededRandom(seed);
          const inputs = new Map([
            ["a", randomArray(random, a)],
            ["b", randomArray(random, b)],
          ]);
          const y = ensure((await runPlan(device, graph, inputs, numerics)).get("y"), "y");
          const exact = new Map([...inputs].map(([name, x]) => [name, numerics === "mxu" ? rounded(x) : x]));
          const want = ensure(interpret(graph, exact).get("y"), "y");
          assert.ok(scaledDifference(y, want) < 1e-5, `differs by ${scaledDifference(y, want)}`);
        },
      ),
      { numRuns: 60 },
    ));

  for (const numerics of ["f32", "mxu"] as const)
    it(`a matmul under ${numerics} propagates NaN and infinities, and reads nothing outside its operands`, async () => {
      const g = new GraphBuilder("product");
      const [a, b] = [tensorType("f32", [3, 5]), tensorType("f32", [5, 7])];
      g.output("y", g.dotGeneral(g.parameter("a", a), g.parameter("b", b), [], [[1, 0]]));
      const x = tensor(
        "f32",
        [3, 5],
        Float64Array.from({ length: 15 }, (_, i) => (i === 0 ? NaN : i === 5 ? Infinity : 1)),
      );
      const y = ensure(
        (
          await runPlan(
            device,
            g.finish(),
            new Map([
              ["a", x],
              ["b", tensor("f32", [5, 7], new Float64Array(35).fill(1))],
            ]),
            numerics,
          )
        ).get("y"),
        "y",
      );
      assert.deepEqual([...y.data], [...Array<number>(7).fill(NaN), ...Array<number>(7).fill(Infinity), ...Array<number>(7).fill(5)]);
    });
});
