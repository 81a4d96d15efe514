import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { chipCoordinates, chipCount, parseTorus, placeSlice, printTorus, slicesOverlap } from "./index.js";
import { chipNumber } from "./torus.js";

describe("tori and slices", () => {
  it("chip numbers are row-major and convert to coordinates and back", () => {
    const torus = parseTorus("4x3");
    strictEqual(chipCount(torus), 12);
    for (let chip = 0; chip < 12; chip++) strictEqual(chipNumber(torus, chipCoordinates(torus, chip)), chip);
    deepStrictEqual(chipCoordinates(torus, 5), [1, 2]);
    for (const chip of [-1, 12]) throws(() => chipCoordinates(torus, chip), /the chip is in the torus/);
  });

  it("a torus has one to three dims of 1 to 4096 chips; other texts are rejected", () => {
    for (const text of ["1", "8", "16x16", "4096x1", "4x4x4"]) strictEqual(printTorus(parseTorus(text)), text);
    for (const text of ["", "16by16", "x4", "4x", "4x4 ", "0", "4x0", "4097", "2x2x2x2", "-4"])
      throws(() => parseTorus(text), { code: "LAP_TOPOLOGY_TORUS", message: `"${text}" is not a torus`, location: "torus" });
  });

  it("placeSlice places two halves of a pod next to each other, and rejects a third slice", () => {
    const pod = parseTorus("16x16");
    const a = { origin: [0, 0], dims: [8, 16] };
    const b = { origin: [8, 0], dims: [8, 16] };
    deepStrictEqual(placeSlice(pod, [8, 16], []), a);
    deepStrictEqual(placeSlice(pod, [8, 16], [a]), b);
    strictEqual(slicesOverlap(a, b), false);
    strictEqual(placeSlice(pod, [4, 4], [a, b]), undefined);
  });

  it("the origin of a slice is a multiple of its size, the first that is free in row-major order", () => {
    const pod = parseTorus("8x8");
    const taken = [{ origin: [0, 0], dims: [2, 2] }];
    deepStrictEqual(placeSlice(pod, [2, 2], taken)?.origin, [0, 2]);
    deepStrictEqual(placeSlice(pod, [4, 4], taken)?.origin, [0, 4]);
    deepStrictEqual(placeSlice(pod, [4, 8], taken)?.origin, [4, 0]);
    strictEqual(placeSlice(pod, [8, 8], taken), undefined);
    deepStrictEqual(placeSlice(parseTorus("5x8"), [4, 8], []), { origin: [0, 0], dims: [4, 8] });
    strictEqual(placeSlice(parseTorus("5x8"), [4, 8], [{ origin: [0, 0], dims: [1, 1] }]), undefined);
  });

  it("a slice that is larger than its pod along one dim, or has other dims, has no place", () => {
    const pod = parseTorus("8x4");
    deepStrictEqual(placeSlice(pod, [8, 4], []), { origin: [0, 0], dims: [8, 4] });
    for (const dims of [[4, 8], [16, 4], [8], [8, 4, 1]]) strictEqual(placeSlice(pod, dims, []), undefined);
  });

  it("two slices overlap if they share a chip", () => {
    const at = (origin: number[]): { origin: number[]; dims: number[] } => ({ origin, dims: [2, 3] });
    const overlaps = (origin: number[]): boolean => slicesOverlap(at([4, 4]), at(origin));
    deepStrictEqual(
      [
        [4, 4],
        [5, 6],
        [3, 2],
      ].map(overlaps),
      [true, true, true],
    );
    deepStrictEqual(
      [
        [6, 4],
        [2, 4],
        [4, 7],
        [4, 1],
        [6, 7],
      ].map(overlaps),
      [false, false, false, false, false],
    );
  });
});
