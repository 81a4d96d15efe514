import assert from "node:assert/strict";
import fc from "fast-check";
import { randomMesh, randomSharding } from "@lapidary/compiler/testing";
import { sizeOf, takeIndices, tensor, tensorType } from "@lapidary/ir";
import { seededRandom } from "@lapidary/std";
import { makeWorkerGrid } from "@lapidary/topology";
import { arrayOf, firstReplicas, takeBlock, wholeFromBlocks } from "./blocks.js";
import { blockPlacement } from "./kernels/placement.js";

describe("blocks", () => {
  it("are cut where their positions say, and join to the whole again", () =>
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const random = seededRandom(seed);
        const mesh = randomMesh(random);
        const dims = Array.from({ length: random.integer(4) }, () => [1, 4, 6, 8, 12][random.integer(5)] ?? 1);
        const sharding = randomSharding(random, mesh, dims);
        const grid = makeWorkerGrid(mesh, 1 + random.integer(16));
        const whole = arrayOf(
          "i32",
          dims,
          Int32Array.from({ length: sizeOf(dims) }, (_, i) => i),
        );
        const blocks = Array.from({ length: grid.workers }, (_, worker) => takeBlock(whole, mesh, grid, worker, sharding));
        blocks.forEach((block, worker) => {
          const place = blockPlacement(mesh, grid, worker, dims, sharding);
          const expected = takeIndices(
            tensor("i32", dims, [...whole.data]),
            dims.map((_, d) => [...place.positions(d)]),
          );
          assert.deepEqual([block.dims, [...block.data]], [expected.dims, [...expected.data]]);
        });
        const asked: number[] = [];
        const joined = wholeFromBlocks(tensorType("i32", dims), mesh, grid, sharding, (worker) => {
          asked.push(worker);
          return blocks[worker] ?? whole;
        });
        assert.deepEqual([...joined.data], [...whole.data]);
        assert.deepEqual(asked, firstReplicas(mesh, grid, sharding), "one replica of each part is asked");
      }),
      { numRuns: 300 },
    ));
});
