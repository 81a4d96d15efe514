import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { randomMesh, randomSharding } from "@lapidary/compiler/testing";
import { type Device, openDevice } from "@lapidary/executor";
import { crc32 } from "@lapidary/fabric";
import { parseSharding, sizeOf } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import {
  arrayLayout,
  arrayOf,
  blockOf,
  bytesOfNumbers,
  handleOf,
  numbersOf,
  ranksOf,
  takeBlock,
  type TensorSpec,
  workerRank,
} from "@lapidary/protocol";
import { StagingBuffers } from "./staging-buffers.js";
import { ValueStore, layoutText } from "./values.js";

describe("staging buffers", () => {
  let device: Device;
  let directory: string;
  before(async () => {
    device = await openDevice();
    directory = mkdtempSync(join(tmpdir(), "lapidary-staging-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  it("the workers together write every array completely and once, for any mesh, sharding and number of workers", function () {
    const { stagingMemory } = device;
    if (stagingMemory === undefined) return this.skip();
    const path = join(directory, "buffer");
    let summed = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const random = seededRandom(seed);
        const mesh = randomMesh(random);
        const group = { mesh, grid: makeWorkerGrid(mesh, 1 + random.integer(8)) };
        let at = 8;
        const arrays = Array.from({ length: 1 + random.integer(4) }, (_, i) => {
          const dims = Array.from({ length: random.integer(4) }, () => [1, 4, 6, 8, 12][random.integer(5)] ?? 1);
          if (dims.length > 0 && random.integer(3) > 0) dims.push([64, 128, 512, 1024][random.integer(4)] ?? 64);
          const begin = at;
          at += 4 * sizeOf(dims) + 4 * random.integer(3);
          return { begin, tensor: { id: handleOf(`v${i}`), dtype: "f32" as const, dims, sharding: randomSharding(random, mesh, dims) } };
        });
        writeFileSync(path, "");
        truncateSync(path, at);
        const workers = ranksOf(group.grid.workers).map((worker) => ({
          worker,
          values: new ValueStore(),
          buffers: new StagingBuffers(stagingMemory, group, worker),
        }));
        try {
          for (const { buffers } of workers) ok(buffers.open(path, at, arrays));
          for (const round of [1, 2]) {
            let bytesWritten = 0;
            const shares: (readonly (number | null)[])[] = [];
            const wholes = arrays.map(({ tensor: { dims } }) =>
              arrayOf(
                "f32",
                dims,
                Float32Array.from({ length: sizeOf(dims) }, (_, i) => round * 1000 + i),
              ),
            );
            for (const { worker, values, buffers } of workers) {
              arrays.forEach(({ tensor }, i) => {
                const block = takeBlock(ensure(wholes[i], "array"), blockOf(arrayLayout(group, tensor), worker));
                values.set(tensor.id, {
                  held: [device.upload("f32", block.dims, block.data.slice())],
                  tensor,
                  layout: layoutText(mesh, tensor),
                });
              });
              const written = buffers.write(path, values);
              bytesWritten += written.bytes;
              shares.push(written.shares);
            }
            const file = new Uint8Array(readFileSync(path));
            arrays.forEach(({ begin, tensor: { dims } }, i) => {
              const bytes = file.slice(begin, begin + 4 * sizeOf(dims));
              deepStrictEqual(numbersOf("f32", bytes), ensure(wholes[i], "array").data);
              const sums = shares.map((ofWorker) => ofWorker[i] ?? null);
              if (sums.includes(null)) ok(sums.every((share) => share === null));
              else {
                summed++;
                strictEqual(~sums.reduce<number>((sum, share) => sum ^ (share ?? 0), 0) >>> 0, crc32(bytes));
              }
            });
            strictEqual(
              bytesWritten,
              wholes.reduce((sum, whole) => sum + bytesOfNumbers(whole.data).length, 0),
              "each byte is written once",
            );
          }
        } finally {
          for (const { values, buffers } of workers) {
            buffers.close();
            values.clear();
          }
        }
      }),
      { numRuns: 60 },
    );
    ok(summed > 20, `the workers computed the checksums of ${summed} arrays`);
  });

  it("a worker refuses to write an array whose sharding is not that of the open message", function () {
    const { stagingMemory } = device;
    if (stagingMemory === undefined) return this.skip();
    const mesh = makeMesh({ data: 2 });
    const group = { mesh, grid: makeWorkerGrid(mesh, 2) };
    const path = join(directory, "sharded");
    writeFileSync(path, new Uint8Array(16));
    const tensor = (text: string): TensorSpec => ({ id: handleOf("w"), dtype: "f32", dims: [4], sharding: parseSharding(mesh, text) });
    const values = new ValueStore();
    const keep = (spec: TensorSpec, numbers: number): void =>
      values.set(spec.id, {
        held: [device.upload("f32", [numbers], new Float32Array(numbers))],
        tensor: spec,
        layout: layoutText(mesh, spec),
      });
    const buffers = new StagingBuffers(stagingMemory, group, workerRank(0));
    ok(buffers.open(path, 16, [{ tensor: tensor("[data]"), begin: 0 }]));
    keep(tensor("[data]"), 2);
    strictEqual(buffers.write(path, values).bytes, 8);
    keep(tensor("[-]"), 4);
    throws(() => buffers.write(path, values), { code: "LAP_WORKER_VALUE_TYPE", location: "w" });
    buffers.close();
    values.clear();
  });

  it("a worker opens no buffer of another size, and writes into none that it has not opened", () => {
    const path = join(directory, "small");
    writeFileSync(path, "1234");
    const mesh = randomMesh(seededRandom(1));
    const group = { mesh, grid: makeWorkerGrid(mesh, 1) };
    const buffers = new StagingBuffers(device.stagingMemory, group, workerRank(0));
    strictEqual(buffers.open(path, 8, []), false);
    strictEqual(buffers.open(join(directory, "none"), 8, []), false);
    strictEqual(new StagingBuffers(undefined, group, workerRank(0)).open(path, 4, []), false);
    throws(() => buffers.write(path, new ValueStore()), {
      code: "LAP_WORKER_IMAGE_UNKNOWN",
    });
  });
});
