import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { parseMesh } from "@lapidary/api/layouts";
import {
  chipsOfShard,
  visibleDims,
  groupOfChip,
  meshCoordinates,
  positionOfShard,
  printRanges,
  printRangesOfChip,
  rangesOfShard,
  tensorLayout,
} from "./shards.js";

const mesh = parseMesh("data=4,model=8");

describe("tensor layout", () => {
  it("a layout has the index range of each chip", () => {
    const layout = tensorLayout(mesh, [64, 16], "[model, data]");
    strictEqual(layout.shards, 32);
    // Chip 11 is data 1, model 3.
    strictEqual(printRanges(layout, layout.shardOfChip[11] ?? -1), "[24:32, 4:8]");
    strictEqual(printRangesOfChip(mesh, [64, 16], "[model, data]", 11), "[24:32, 4:8]");
    deepStrictEqual(chipsOfShard(layout, layout.shardOfChip[11] ?? -1), [11]);
  });

  it("chips that differ only along an axis that does not split the tensor have the same shard", () => {
    const layout = tensorLayout(mesh, [64], "[model]");
    strictEqual(layout.chipsPerShard, 4);
    deepStrictEqual(chipsOfShard(layout, 3), [3, 11, 19, 27]);
  });

  it("the shards cover every index of the tensor once", () => {
    fc.assert(
      fc.property(fc.constantFrom("[model, data]", "[data+model, -]", "[-, model:(1)2]", "[model:(2)4, data]", "[-, -]"), (sharding) => {
        const layout = tensorLayout(mesh, [64, 32], sharding);
        let covered = 0;
        for (let shard = 0; shard < layout.shards; shard++) {
          covered += rangesOfShard(layout, shard).reduce((n, { from, to }) => n * (to - from), 1);
          strictEqual(chipsOfShard(layout, shard).length, layout.chipsPerShard);
          strictEqual(
            positionOfShard(layout, shard).reduce((n, place, d) => n * (layout.parts[d] ?? 1) + place, 0),
            shard,
          );
        }
        strictEqual(covered, 64 * 32);
      }),
    );
  });

  it("a layout is drawn along the sharded dims", () => {
    deepStrictEqual(visibleDims(tensorLayout(mesh, [4, 64, 32], "[-, model, data]")), { down: 1, across: 2 });
    deepStrictEqual(visibleDims(tensorLayout(mesh, [64], "[model]")), { down: undefined, across: 0 });
    deepStrictEqual(visibleDims(tensorLayout(mesh, [], "[]")), { down: undefined, across: undefined });
  });
});

describe("replica groups of a chip", () => {
  it("a group contains the chips that differ only along its axes", () => {
    deepStrictEqual(groupOfChip(mesh, 11, "data"), [3, 11, 19, 27]);
    deepStrictEqual(groupOfChip(mesh, 11, "model:(4)2"), [10, 11]);
    strictEqual(groupOfChip(mesh, 11, "data+model").length, 32);
    deepStrictEqual(meshCoordinates(mesh, 11), [
      { axis: "data", at: 1, size: 4 },
      { axis: "model", at: 3, size: 8 },
    ]);
  });
});
