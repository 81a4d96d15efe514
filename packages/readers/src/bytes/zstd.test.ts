import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { isZstd, unpackZstd, ZstdDictionaryError, ZstdSizeError } from "./zstd.js";

/** The text of the frames below. */
const text = Array.from({ length: 40 }, (_, i) => `{"text":"line ${i + 1} of a text that is packed"}\n`).join("");

/** Frames of the command `zstd`: from a pipe with a checksum, from a file with its size and without checksum, with a dictionary. */
const piped = Buffer.from(
  "KLUv/QRY7QQAMsURGZBHHWvjojAqqjQVpNydpJW27RShyLrjoATo////t23bttu2bVtUSZDDQDdxuAYBTCJYQVmmJy0XpiVzBlZDgQrccrkwzxAoIIAzSg+3YB5NhikwD5PRFMyDyTAF5mEymIJ5mIymYB5Mhik0j0zGLqagm3nkZjJwM4XbzMM2k1GbKdBmHrOZ7CHUhiR0QywkQRdiQRJAd06OZaIKyH0=",
  "base64",
);
const sized = Buffer.from(
  "KLUv/WDXBeUEAPLEEBeAZTppgjlGFodtJWiGo5C/U14nbSqpE+r///+3bdu227ZtK/QwCmJQdxBAhTXJik5ql4vJu3ULdD32NAcRzIklAgIpIHCjlB63wDxMRlMwjybDFJqHyWgK5tFkmELzMBlNwTyaDFNoHpmMXUxBF/PIzWTgZgq3mYdtJqM2U6DNPGYz2UOoBUnogliQhC6IheSDLhclNFbfAQ==",
  "base64",
);
const withDictionary = Buffer.from(
  "KLUv/WcZJ9Eu1wXlAwCjwgVTyGp+4NltZav5gWf366v5gWdezQ88Cy38SdwAECQTVQEMqL1Yy8ysJAfkFGlRkPEll6nJwJ/Yi7RMZgU5oKdYiw4ZH3KJmgT+wF60ZTYrU46tpcgrZxZbuUggAOsvGVdkeMjMkMkgY5dMHSV3nAV4ISwLgexOaigIogrIfQ==",
  "base64",
);
/** A frame without data. pzstd writes such a frame before each frame. */
const skipped = Buffer.from("502a4d180400000001020304", "hex");
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
