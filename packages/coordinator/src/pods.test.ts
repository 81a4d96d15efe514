import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { slicesOverlap } from "@lapidary/topology";
import fc from "fast-check";
import { Pods, type SliceRequest, workersForSlice } from "./pods.js";

const slice = (dims: readonly number[], pods = 1): SliceRequest => ({ kind: { name: "v5e-256", torus: { dims: [16, 16] } }, dims, pods });

describe("pods", () => {
  it("two jobs get the two halves of a pod, and a third job gets no slice until one of them ends", () => {
    const pods = new Pods();
    deepStrictEqual(pods.place("a", slice([8, 16])), { pod: 0, pods: 1, origin: [0, 0], dims: [8, 16] });
    deepStrictEqual(pods.place("b", slice([8, 16])), { pod: 0, pods: 1, origin: [8, 0], dims: [8, 16] });
    strictEqual(pods.place("c", slice([8, 16])), undefined);
    strictEqual(pods.status()?.free_chips, 0);
    pods.free("a");
    deepStrictEqual(pods.place("c", slice([8, 16]))?.origin, [0, 0]);
  });

  it("a job that spans two pods gets the same rectangle of both", () => {
    const pods = new Pods();
    pods.place("a", slice([8, 16]));
    deepStrictEqual(pods.place("b", slice([8, 16], 2)), { pod: 0, pods: 2, origin: [8, 0], dims: [8, 16] });
    deepStrictEqual(pods.place("c", slice([8, 16])), { pod: 1, pods: 1, origin: [0, 0], dims: [8, 16] });
    deepStrictEqual([pods.status()?.pods, pods.status()?.free_chips], [2, 0]);
    strictEqual(pods.place("d", slice([4, 4])), undefined);
  });

  it("pods change their kind only when no job uses them", () => {
    const pods = new Pods();
    const small: SliceRequest = { kind: { name: "v5e-4", torus: { dims: [2, 2] } }, dims: [2, 2], pods: 1 };
    pods.place("a", slice([8, 16]));
    strictEqual(pods.place("b", small), undefined);
    // A pod of another name has other chips, although its torus is the same.
    strictEqual(pods.place("b", { ...slice([8, 16]), kind: { name: "v6e-256", torus: { dims: [16, 16] } } }), undefined);
    strictEqual(pods.place("b", { ...slice([8, 8]), kind: { name: "v5e-256", torus: { dims: [16, 8] } } }), undefined);
    pods.free("a");
    ok(pods.place("b", small) !== undefined);
    strictEqual(pods.status()?.name, "v5e-4");
  });

  it("pods reject a slice that does not fit into empty ones", () => {
    for (const dims of [[32, 8], [17, 16], [16, 17], [16], [4, 4, 4]])
      throws(() => new Pods().place("a", slice(dims)), { code: "LAP_SLICE_TOO_LARGE", exit: 4 });
    deepStrictEqual(new Pods().place("a", slice([16, 16]))?.dims, [16, 16]);
  });

  it("pods never allocate a chip twice, and allocate released chips again", () => {
    const size = fc.constantFrom(1, 2, 4, 8, 16);
    fc.assert(
      fc.property(
        fc.array(fc.record({ dims: fc.tuple(size, size), pods: fc.integer({ min: 1, max: 3 }), free: fc.boolean() }), { maxLength: 40 }),
        (requests) => {
          const pods = new Pods();
          requests.forEach(({ dims, pods: span, free }, i) => {
            if (pods.place(`job-${i}`, slice(dims, span)) !== undefined && free) pods.free(`job-${i}`);
          });
          const slices = pods.status()?.slices ?? [];
          slices.forEach((a, i) =>
            ok(slices.slice(i + 1).every((b) => a.pod >= b.pod + b.pods || b.pod >= a.pod + a.pods || !slicesOverlap(a, b))),
          );
          for (const { job } of slices) pods.free(job);
          strictEqual(pods.status()?.free_chips ?? 256, 256);
        },
      ),
    );
  });
});

describe("the workers of a slice", () => {
  it("a slice gets its share of the workers of the machine, and at least one", () => {
    strictEqual(workersForSlice(2, slice([16, 16])), 2);
    strictEqual(workersForSlice(2, slice([16, 16], 2)), 2);
    strictEqual(workersForSlice(2, slice([8, 16])), 1);
    strictEqual(workersForSlice(2, slice([4, 4])), 1);
    strictEqual(workersForSlice(16, slice([8, 8])), 4);
  });
});
