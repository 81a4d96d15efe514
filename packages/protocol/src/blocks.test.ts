import assert from "node:assert/strict";
import fc from "fast-check";
import { blockPositions } from "@lapidary/compiler";
import { randomMesh, randomSharding } from "@lapidary/compiler/testing";
import { sizeOf, takeIndices, tensor } from "@lapidary/ir";
import { seededRandom } from "@lapidary/std";
import { makeWorkerGrid, workerCoordinate } from "@lapidary/topology";
import { arrayLayout, blockOf } from "./block-layout.js";
import { arrayOf, firstReplicas, takeBlock, wholeFromBlocks } from "./blocks.js";
import { ranksOf } from "./ids.js";

describe("a block of an array", () => {
  it("takes a block at the positions that the compiler gives, and joins the blocks to the whole array", () =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const random = seededRandom(seed);
        const mesh = randomMesh(random);
        const dims = Array.from({ length: random.integer(4) }, () => [1, 4, 6, 8, 12][random.integer(5)] ?? 1);
        const sharding = randomSharding(random, mesh, dims);
        const grid = makeWorkerGrid(mesh, 1 + random.integer(16));
        const layout = arrayLayout({ mesh, grid }, { dims, sharding });
        const whole = arrayOf(
          "i32",
          dims,
          Int32Array.from({ length: sizeOf(dims) }, (_, i) => i),
        );
        const blocks = ranksOf(grid.workers).map((worker) => takeBlock(whole, blockOf(layout, worker)));
        blocks.forEach((block, worker) => {
          const expected = takeIndices(
            tensor("i32", dims, [...whole.data]),
            dims.map((size, d) => [
              ...blockPositions(mesh, grid, size, sharding.dims[d] ?? [], (atom) => workerCoordinate(mesh, grid, worker, atom)),
            ]),
          );
          assert.deepEqual([block.dims, [...block.data]], [expected.dims, [...expected.data]]);
        });
        const asked: number[] = [];
        const joined = wholeFromBlocks("i32", layout, (worker) => {
          asked.push(worker);
          return blocks[worker] ?? whole;
        });
        assert.deepEqual([...joined.data], [...whole.data]);
        assert.deepEqual(asked, firstReplicas(layout), "one replica of each block is asked for");
      }),
      { numRuns: 300 },
    ));
});
