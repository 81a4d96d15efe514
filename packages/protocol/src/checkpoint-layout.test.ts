import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { randomMesh, randomSharding } from "@lapidary/compiler/testing";
import { replicated, sizeOf } from "@lapidary/ir";
import { ensure, type Random, seededRandom } from "@lapidary/std";
import { makeWorkerGrid } from "@lapidary/topology";
import { type GroupLayout, arrayLayout, blockOf } from "./block-layout.js";
import { arrayOf, bytesOfNumbers, forEachSegment, takeBlock } from "./blocks.js";
import { type CheckpointFileSpec, checkpointLayout, stagedBlocks } from "./checkpoint-layout.js";
import { handleOf, ranksOf } from "./ids.js";
import type { TensorSpec } from "./tensor-spec.js";

/** A checkpoint of two files with arrays that a mesh splits at random. */
function randomCheckpoint(random: Random): { readonly group: GroupLayout; readonly specs: CheckpointFileSpec[] } {
  const mesh = randomMesh(random);
  const group = { mesh, grid: makeWorkerGrid(mesh, 1 + random.integer(16)) };
  const specs = ["weights", "moments"].map((name) => ({
    name,
    head: [["header", new Uint8Array(4 * random.integer(2000)).fill(0xee)] as const],
    tensors: Array.from({ length: 1 + random.integer(4) }, (_, i): readonly [string, TensorSpec] => {
      const dims = Array.from({ length: random.integer(4) }, () => [1, 4, 6, 8, 12][random.integer(5)] ?? 1);
      if (dims.length > 0 && random.integer(2) > 0) dims.push([64, 128, 512][random.integer(3)] ?? 64);
      return [`t${i}`, { id: handleOf(`${name}/${i}`), dtype: "f32", dims, sharding: randomSharding(random, mesh, dims) }];
    }),
  }));
  return { group, specs };
}

describe("the layout of a checkpoint", () => {
  it("gives every byte of every array to exactly one worker, and all workers together write the global arrays", () => {
    let checksummed = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const { group, specs } = randomCheckpoint(seededRandom(seed));
        const layout = checkpointLayout(specs);
        const arrays = layout.tensors.map(({ tensor: { dims } }, i) =>
          arrayOf(
            "f32",
            dims,
            Float32Array.from({ length: sizeOf(dims) }, (_, at) => 1000 * (i + 1) + at),
          ),
        );
        // The reference: each file is its head and its global arrays, one after the other.
        const expected = new Uint8Array(layout.bytes);
        for (const parts of layout.files.values())
          for (const { begin, bytes, content } of parts) {
            const index = "tensor" in content ? layout.tensors.findIndex(({ tensor }) => tensor === content.tensor) : -1;
            const part = "constant" in content ? content.constant : bytesOfNumbers(ensure(arrays[index], "array").data);
            strictEqual(part.length, bytes);
            expected.set(part, begin);
          }
        const [written, writers] = [new Uint8Array(layout.bytes), new Uint8Array(layout.bytes)];
        for (const parts of layout.files.values())
          for (const { begin, content } of parts)
            if ("constant" in content) {
              written.set(content.constant, begin);
              writers.fill(1, begin, begin + content.constant.length);
            }
        const checksums: boolean[][] = [];
        for (const worker of ranksOf(group.grid.workers)) {
          const staged = stagedBlocks(layout.tensors, group, worker);
          checksums.push(staged.map(({ checksumOf }) => checksumOf !== undefined));
          staged.forEach(({ tensor, segments, bytes, checksumOf }, i) => {
            if (segments === undefined) return strictEqual(bytes, 0);
            const block = bytesOfNumbers(takeBlock(ensure(arrays[i], "array"), blockOf(arrayLayout(group, tensor), worker)).data);
            strictEqual(bytes, block.length);
            forEachSegment(segments, (at, from, length) => {
              written.set(block.subarray(from, from + length), at);
              for (let byte = at; byte < at + length; byte++) writers[byte] = (writers[byte] ?? 0) + 1;
              if (checksumOf !== undefined) {
                checksummed++;
                ok(checksumOf.begin <= at && at + length <= checksumOf.begin + checksumOf.bytes);
                strictEqual(length % 256, 0);
              }
            });
          });
        }
        for (const ofWorker of checksums) deepStrictEqual(ofWorker, checksums[0], "all workers agree which checksums they compute");
        deepStrictEqual(written, expected);
        const data = new Uint8Array(layout.bytes);
        for (const { begin, bytes } of [...layout.files.values()].flat()) data.fill(1, begin, begin + bytes);
        deepStrictEqual(writers, data, "every byte of the files has one writer, and the gaps between files have none");
      }),
      { numRuns: 150 },
    );
    ok(checksummed > 100, `${checksummed} segments with a checksum`);
  });

  it("starts every file at a multiple of 4 KiB and leaves no gap within a file", () => {
    const { specs } = randomCheckpoint(seededRandom(7));
    const { files, bytes } = checkpointLayout(specs);
    deepStrictEqual([...files.keys()], ["weights", "moments"]);
    let end = 0;
    for (const parts of files.values()) {
      const first = ensure(parts[0], "part");
      strictEqual(first.begin % 4096, 0);
      ok(first.begin >= end);
      end = first.begin;
      for (const { begin, bytes: length } of parts) {
        strictEqual(begin, end);
        end += length;
      }
    }
    strictEqual(bytes, end);
  });

  it("every type takes four bytes for a number", () => {
    const sized = (dtype: TensorSpec["dtype"]): number => {
      const tensor: TensorSpec = { id: handleOf("x"), dtype, dims: [2, 3], sharding: replicated(2) };
      return checkpointLayout([{ name: "f", head: [], tensors: [["x", tensor]] }]).bytes;
    };
    deepStrictEqual((["f32", "i32", "bf16", "pred"] as const).map(sized), [24, 24, 24, 24]);
  });
});
