import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { parseMesh } from "@lapidary/topology";
import {
  chipsOfShard,
  drawnDims,
  groupOfChip,
  meshCoordinates,
  partsOfShard,
  printRanges,
  printRangesOfChip,
  rangesOfShard,
  tensorLayout,
} from "./shards.js";

const mesh = parseMesh("data=4,model=8");

describe("a tensor's layout", () => {
  it("says which index range lies on which chip", () => {
    const layout = tensorLayout(mesh, [64, 16], "[model, data]");
    strictEqual(layout.shards, 32);
    // Chip 11 is data 1, model 3.
    strictEqual(printRanges(layout, layout.shardOfChip[11] ?? -1), "[24:32, 4:8]");
    strictEqual(printRangesOfChip(mesh, [64, 16], "[model, data]", 11), "[24:32, 4:8]");
    deepStrictEqual(chipsOfShard(layout, layout.shardOfChip[11] ?? -1), [11]);
  });

  it("holds the same on all chips that differ along an axis that does not split it", () => {
    const layout = tensorLayout(mesh, [64], "[model]");
    strictEqual(layout.copies, 4);
    deepStrictEqual(chipsOfShard(layout, 3), [3, 11, 19, 27]);
  });

  it("covers the whole tensor with its shards, each index once", () => {
    fc.assert(
      fc.property(fc.constantFrom("[model, data]", "[data+model, -]", "[-, model:(1)2]", "[model:(2)4, data]", "[-, -]"), (sharding) => {
        const layout = tensorLayout(mesh, [64, 32], sharding);
        let covered = 0;
        for (let shard = 0; shard < layout.shards; shard++) {
          covered += rangesOfShard(layout, shard).reduce((n, { from, to }) => n * (to - from), 1);
          strictEqual(chipsOfShard(layout, shard).length, layout.copies);
          strictEqual(
            partsOfShard(layout, shard).reduce((n, place, d) => n * (layout.parts[d] ?? 1) + place, 0),
            shard,
          );
        }
        strictEqual(covered, 64 * 32);
      }),
    );
  });

  it("is drawn along the dims that are split", () => {
    deepStrictEqual(drawnDims(tensorLayout(mesh, [4, 64, 32], "[-, model, data]")), { down: 1, across: 2 });
    deepStrictEqual(drawnDims(tensorLayout(mesh, [64], "[model]")), { down: undefined, across: 0 });
    deepStrictEqual(drawnDims(tensorLayout(mesh, [], "[]")), { down: undefined, across: undefined });
  });
});

describe("a chip's groups", () => {
  it("are the chips that differ from it along the axes alone", () => {
    deepStrictEqual(groupOfChip(mesh, 11, "data"), [3, 11, 19, 27]);
    deepStrictEqual(groupOfChip(mesh, 11, "model:(4)2"), [10, 11]);
    strictEqual(groupOfChip(mesh, 11, "data+model").length, 32);
    deepStrictEqual(meshCoordinates(mesh, 11), [
      { axis: "data", at: 1, size: 4 },
      { axis: "model", at: 3, size: 8 },
    ]);
  });
});
