import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { makeMesh, parseTorus } from "@lapidary/topology";
import type { Placement } from "../network/placement.js";
import { ideal, v5e } from "../testing/fixtures.js";
import { type ChipClass, type Fault, chipClasses } from "./chip-classes.js";

/** Two pods of 4x16 chips, of which the dim of 16 is a ring; atoms of `data` are 1 and 2, those of `model` 3 to 6. */
const placement: Placement = { mesh: makeMesh({ pod: 2, data: 4, model: 16 }), slice: parseTorus("4x16"), pods: 2, chip: ideal(v5e) };
const [data, model] = [
  [1, 2],
  [3, 4, 5, 6],
];
const classes = (faults: readonly Fault[], lists: readonly (readonly number[])[] = []): ChipClass[] =>
  chipClasses(placement, faults, lists);
const counts = (of: readonly ChipClass[]): number[][] => of.map(({ chip, count }) => [chip, count]);
const withFault = (faults: readonly Fault[], resource: "ici0" | "ici1"): number[][] =>
  classes(faults)
    .filter(({ linkFactor }) => linkFactor(resource) !== 1)
    .map(({ chip, count, linkFactor }) => [chip, count, linkFactor(resource)]);

describe("classes of chips", () => {
  it("chips without faults are one class, in whose groups are only chips of this class", () => {
    const [only, ...others] = classes([], [data ?? []]);
    deepStrictEqual([others.length, only?.count, only?.slowdown, only?.linkFactor("ici0"), only?.groups(data ?? [])], [0, 128, 1, 1, [0]]);
  });

  it("slowdowns of one chip multiply", () => {
    const slow = classes([
      { kind: "straggler", chip: 5, slowdown: 2 },
      { kind: "straggler", chip: 5, slowdown: 3 },
    ]);
    deepStrictEqual(slow.map(({ chip, count, slowdown }) => [chip, count, slowdown]).sort(), [
      [0, 127, 1],
      [5, 1, 6],
    ]);
  });

  it("a slow link slows the chips on its line, in its pod", () => {
    // Chip 81 is at (1, 1) of pod 1. Its line along dim 1 has 16 chips, that along dim 0 has 4.
    deepStrictEqual(withFault([{ kind: "slow_link", chip: 81, dim: 1, factor: 0.25 }], "ici1"), [[80, 16, 0.25]]);
    deepStrictEqual(withFault([{ kind: "slow_link", chip: 81, dim: 0, factor: 0.25 }], "ici0"), [[65, 4, 0.25]]);
    deepStrictEqual(withFault([{ kind: "slow_link", chip: 81, dim: 0, factor: 0.25 }], "ici1"), []);
    const twice: Fault[] = [0.5, 0.5].map((factor) => ({ kind: "slow_link", chip: 0, dim: 1, factor }));
    deepStrictEqual(withFault(twice, "ici1"), [[0, 16, 0.25]]);
  });

  it("a ring without its wrap-around link has half the rate, and a line has no such link", () => {
    deepStrictEqual(withFault([{ kind: "lost_wrap", chip: 3, dim: 1 }], "ici1"), [[0, 16, 0.5]]);
    deepStrictEqual(withFault([{ kind: "lost_wrap", chip: 3, dim: 0 }], "ici0"), []);
  });

  it("chips are in one class only if their groups contain the same classes", () => {
    const fault: Fault = { kind: "straggler", chip: 0, slowdown: 2 };
    // The straggler, the chips of its group, and all others.
    deepStrictEqual(counts(classes([fault], [model ?? []])), [
      [0, 1],
      [1, 15],
      [16, 112],
    ]);
    const both = classes([fault], [model ?? [], data ?? []]);
    deepStrictEqual(counts(both), [
      [0, 1],
      [1, 15],
      [16, 3],
      [17, 45],
      [64, 64],
    ]);
    deepStrictEqual(
      both.map(({ groups }) => [groups(model ?? []), groups(data ?? [])]),
      [
        [
          [0, 1],
          [0, 2],
        ],
        [
          [0, 1],
          [1, 3],
        ],
        [
          [2, 3],
          [0, 2],
        ],
        [
          [2, 3],
          [1, 3],
        ],
        [[4], [4]],
      ],
    );
    // A group that no collective has contains the class alone.
    deepStrictEqual(
      both.map(({ groups }) => groups([0])),
      [[0], [1], [2], [3], [4]],
    );
    strictEqual(
      both.reduce((sum, { count }) => sum + count, 0),
      128,
    );
  });
});
