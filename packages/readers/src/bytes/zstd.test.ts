import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { packedByZstd } from "../testing/zstd-frames.js";
import { isZstd, unpackZstd, ZstdDictionaryError, ZstdSizeError } from "./zstd.js";

const { text, piped, sized, withDictionary, skipped } = packedByZstd;

/** A frame without a size, with `blocks` blocks of 128 KiB equal bytes. */
const repeated = (blocks: number): Buffer => {
  const block = (isLast: boolean): Buffer => Buffer.from([((1 << 20) | 2 | (isLast ? 1 : 0)) & 0xff, 0, (1 << 20) >> 16, 0x61]);
  return Buffer.concat([Buffer.from("28b52ffd0058", "hex"), ...Array.from({ length: blocks }, (_, i) => block(i === blocks - 1))]);
};

const limit = 1 << 24;
const unpacked = (packed: Uint8Array): string => unpackZstd(packed, limit).toString("utf8");

describe("zstd", () => {
  it("frames with and without size and checksum are decompressed, and the texts of several frames are concatenated", () => {
    strictEqual(unpacked(piped), text);
    strictEqual(unpacked(sized), text);
    strictEqual(unpacked(Buffer.concat([skipped, piped, skipped, sized, piped])), text.repeat(3));
    strictEqual(unpacked(repeated(3)), "a".repeat(3 * 2 ** 17));
  });

  it("a zstd file is recognized by its first frame with data", () => {
    for (const packed of [piped, sized, Buffer.concat([skipped, sized])]) ok(isZstd(packed.subarray(0, 512)));
    for (const other of [skipped, Buffer.from("(\xb5/"), Buffer.from(text), Buffer.alloc(0)]) ok(!isZstd(other));
  });

  it("a text above the limit is an error, with and without a size in the frame", () => {
    for (const packed of [piped, sized, Buffer.concat([sized, sized])]) throws(() => unpackZstd(packed, text.length - 1), ZstdSizeError);
    throws(() => unpackZstd(Buffer.concat([sized, piped]), 2 * text.length - 1), ZstdSizeError);
    strictEqual(unpackZstd(Buffer.concat([sized, piped]), 2 * text.length).length, 2 * text.length);
    throws(() => unpackZstd(repeated(10_000), limit), ZstdSizeError);
  });

  it("a file that is truncated at any byte is an error", () => {
    for (const packed of [piped, sized])
      for (let end = 1; end < packed.length; end++) throws(() => unpacked(packed.subarray(0, end)), Error, `${end}`);
  });

  it("a frame with a checksum never decompresses to another text if one byte changes", () => {
    const others: number[] = [];
    for (let at = 0; at < piped.length; at++) {
      const damaged = Buffer.from(piped);
      damaged[at] = (damaged[at] ?? 0) ^ 0x24;
      try {
        if (unpacked(damaged) !== text) others.push(at);
      } catch {
        // An error is correct.
      }
    }
    deepStrictEqual(others, []);
    throws(() => unpacked(Buffer.concat([piped.subarray(0, -1), Buffer.from([(piped.at(-1) ?? 0) ^ 1])])), /checksum/);
  });

  it("a frame that needs a dictionary throws a ZstdDictionaryError", () => {
    throws(() => unpacked(withDictionary), ZstdDictionaryError);
  });
});
