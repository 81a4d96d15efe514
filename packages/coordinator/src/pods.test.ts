import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { slicesOverlap } from "@lapidary/topology";
import fc from "fast-check";
import { Pods, type PodSet, workersForSlice } from "./pods.js";

const v5e = (pods = 1): PodSet => ({ name: "v5e-256", torus: { dims: [16, 16] }, pods });

describe("pods", () => {
  it("give two jobs the two halves of a pod, and a third job nothing until one of them ends", () => {
    const pods = new Pods();
    deepStrictEqual(pods.place("a", v5e(), [8, 16]), { pod: 0, origin: [0, 0], dims: [8, 16] });
    deepStrictEqual(pods.place("b", v5e(), [8, 16]), { pod: 0, origin: [8, 0], dims: [8, 16] });
    strictEqual(pods.place("c", v5e(), [8, 16]), undefined);
    strictEqual(pods.status()?.free_chips, 0);
    pods.free("a");
    deepStrictEqual(pods.place("c", v5e(), [8, 16])?.origin, [0, 0]);
  });

  it("go on to the next pod when one is full", () => {
    const pods = new Pods();
    deepStrictEqual([pods.place("a", v5e(2), [16, 16])?.pod, pods.place("b", v5e(2), [16, 16])?.pod, pods.place("c", v5e(2), [4, 4])], [0, 1, undefined]);
  });

  it("become another set of pods only when nobody uses them", () => {
    const pods = new Pods();
    const small: PodSet = { name: "v5e-4", torus: { dims: [2, 2] }, pods: 1 };
    pods.place("a", v5e(), [8, 16]);
    strictEqual(pods.place("b", small, [2, 2]), undefined);
    pods.free("a");
    ok(pods.place("b", small, [2, 2]) !== undefined);
    strictEqual(pods.status()?.name, "v5e-4");
  });

  it("refuse a slice that would not fit into empty ones", () => {
    throws(() => new Pods().place("a", v5e(), [32, 8]), { code: "LAP_SLICE_TOO_LARGE", exit: 4 });
  });

  it("never give a chip twice, and give again what was freed", () => {
    const size = fc.constantFrom(1, 2, 4, 8, 16);
    fc.assert(
      fc.property(fc.array(fc.record({ dims: fc.tuple(size, size), free: fc.boolean() }), { maxLength: 40 }), (asks) => {
        const pods = new Pods();
        asks.forEach(({ dims, free }, i) => {
          const before = pods.status()?.free_chips ?? 256;
          const place = pods.place(`job-${i}`, v5e(), dims);
          if (place === undefined) return;
          strictEqual(pods.status()?.free_chips, before - dims[0] * dims[1]);
          if (free) pods.free(`job-${i}`);
        });
        const slices = pods.status()?.slices ?? [];
        slices.forEach((a, i) => ok(slices.slice(i + 1).every((b) => !slicesOverlap(a, b))));
      }),
    );
  });
});

describe("the workers of a slice", () => {
  it("are its share of the machine's, and at least one", () => {
    strictEqual(workersForSlice(2, v5e(), [16, 16]), 2);
    strictEqual(workersForSlice(2, v5e(), [8, 16]), 1);
    strictEqual(workersForSlice(2, v5e(), [4, 4]), 1);
    strictEqual(workersForSlice(16, v5e(), [8, 8]), 4);
  });
});
