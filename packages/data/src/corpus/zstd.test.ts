import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { isZstd, unpackZstd, ZstdDictionaryError, ZstdSizeError } from "./zstd.js";

/** What the frames below hold. */
const text = Array.from({ length: 40 }, (_, i) => `{"text":"line ${i + 1} of a text that is packed"}\n`).join("");

/** As `zstd` of the command line writes them: from a pipe with a checksum, from a file with its size and no checksum, with a dictionary. */
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
/** A frame that holds no data, as pzstd writes one before each of its own. */
const skipped = Buffer.from("502a4d180400000001020304", "hex");
/** A frame without a size that holds so many equal bytes, in blocks of 128 KiB. */
const repeated = (blocks: number): Buffer => {
  const block = (isLast: boolean): Buffer => Buffer.from([((1 << 20) | 2 | (isLast ? 1 : 0)) & 0xff, 0, (1 << 20) >> 16, 0x61]);
  return Buffer.concat([Buffer.from("28b52ffd0058", "hex"), ...Array.from({ length: blocks }, (_, i) => block(i === blocks - 1))]);
};

const limit = 1 << 24;
const unpacked = (packed: Uint8Array): string => unpackZstd(packed, limit).toString("utf8");

describe("zstd", () => {
  it("frames with and without size and checksum give their text, and several frames the text of all", () => {
    strictEqual(unpacked(piped), text);
    strictEqual(unpacked(sized), text);
    strictEqual(unpacked(Buffer.concat([skipped, piped, skipped, sized, piped])), text.repeat(3));
    strictEqual(unpacked(repeated(3)), "a".repeat(3 * 2 ** 17));
  });

  it("a file is known by its first frame that holds data", () => {
    for (const packed of [piped, sized, Buffer.concat([skipped, sized])]) ok(isZstd(packed.subarray(0, 512)));
    for (const other of [skipped, Buffer.from("(\xb5/"), Buffer.from(text), Buffer.alloc(0)]) ok(!isZstd(other));
  });

  it("a text above the limit is an error, whether the frame says its size or not", () => {
    for (const packed of [piped, sized, Buffer.concat([sized, sized])]) throws(() => unpackZstd(packed, text.length - 1), ZstdSizeError);
    throws(() => unpackZstd(Buffer.concat([sized, piped]), 2 * text.length - 1), ZstdSizeError);
    strictEqual(unpackZstd(Buffer.concat([sized, piped]), 2 * text.length).length, 2 * text.length);
    throws(() => unpackZstd(repeated(10_000), limit), ZstdSizeError);
  });

  it("a file that was cut off anywhere is an error", () => {
    for (const packed of [piped, sized])
      for (let end = 1; end < packed.length; end++) throws(() => unpacked(packed.subarray(0, end)), Error, `${end}`);
  });

  it("no changed byte of a frame with a checksum gives another text", () => {
    const others: number[] = [];
    for (let at = 0; at < piped.length; at++) {
      const damaged = Buffer.from(piped);
      damaged[at] = (damaged[at] ?? 0) ^ 0x24;
      try {
        if (unpacked(damaged) !== text) others.push(at);
      } catch {
        // Refused, as it should be.
      }
    }
    deepStrictEqual(others, []);
    throws(() => unpacked(Buffer.concat([piped.subarray(0, -1), Buffer.from([(piped.at(-1) ?? 0) ^ 1])])), /checksum/);
  });

  it("a frame that needs a dictionary is named as one", () => {
    throws(() => unpacked(withDictionary), ZstdDictionaryError);
  });
});
