import { strictEqual } from "node:assert/strict";
import { XxHash64 } from "./xxhash64.js";

/** Length and low half of XXH64 with seed 0, of the bytes `(7919 i + length) mod 256`. A Python implementation of the specification computed them. */
const known: readonly (readonly [length: number, low: number])[] = [
  [0, 0x51d8e999],
  [1, 0x1b21e730],
  [3, 0x670dc310],
  [4, 0x76dca24b],
  [7, 0x8732ad21],
  [8, 0xac13a016],
  [31, 0xdae21d76],
  [32, 0x6a13d01d],
  [33, 0x8a97827c],
  [100, 0xab058479],
  [1000, 0x406b7ce9],
];

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i * 7919 + length);

describe("XXH64", () => {
  it("the hash equals known values for every length that the algorithm distinguishes", () => {
    strictEqual(hashOf([Buffer.from("abc")]), 0xad770999);
    for (const [length, low] of known) strictEqual(hashOf([bytes(length)]), low, `${length} bytes`);
  });

  it("the hash of a stream does not depend on its chunks", () => {
    for (const size of [1, 5, 31, 32, 33, 999])
      strictEqual(
        hashOf(Array.from({ length: Math.ceil(1000 / size) }, (_, i) => bytes(1000).subarray(i * size, (i + 1) * size))),
        0x406b7ce9,
      );
  });
});

function hashOf(chunks: readonly Uint8Array[]): number {
  const hash = new XxHash64();
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest32();
}
