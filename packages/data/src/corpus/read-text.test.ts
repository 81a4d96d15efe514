import { deepStrictEqual, match, ok } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { prose } from "@lapidary/std/testing";
import { CorpusFiles } from "../testing/read-corpus.js";

const workspace = new CorpusFiles();
after(() => workspace.remove());

describe("encodings of corpus files", () => {
  it("UTF-16 with a byte order mark is read, and no text contains its mark", () => {
    for (const [name, bytes] of [
      ["le.txt", Buffer.from("\ufeffGrüße 😀", "utf16le")],
      ["be.txt", Buffer.from("\ufeffGrüße 😀", "utf16le").swap16()],
      ["utf8.txt", Buffer.from("\ufeffGrüße 😀")],
    ] as const)
      deepStrictEqual(workspace.texts(name, bytes), ["Grüße 😀"], name);
  });

  it("the error of UTF-16 without a mark and of UTF-32 names the iconv command", () => {
    const long = prose(30, 10);
    match(workspace.refusal("le.txt", Buffer.from(long, "utf16le")).remedy, /iconv -f UTF-16LE/);
    match(workspace.refusal("be.txt", Buffer.from(long, "utf16le").swap16()).remedy, /iconv -f UTF-16BE/);
    match(workspace.refusal("u32.txt", Buffer.from([0xff, 0xfe, 0, 0, 0x61, 0, 0, 0])).remedy, /iconv -f UTF-32/);
  });

  it("a remedy names an 8-bit encoding only if the bytes look like 8-bit text", () => {
    const text = prose(31, 10);
    match(workspace.refusal("latin.txt", Buffer.from(`caf\xe9 ${text}`, "latin1")).remedy, /iconv -f LATIN1 /);
    match(workspace.refusal("windows.txt", Buffer.from(`\x93quoted\x94 ${text}`, "latin1")).remedy, /iconv -f WINDOWS-1252 /);
    const noise = Buffer.from(Array.from({ length: 4000 }, (_, i) => 1 + ((i * 7919) % 254)));
    ok(!/LATIN1|WINDOWS/.test(workspace.refusal("noise.txt", noise).remedy));
  });

  it("the remedy of truncated or damaged UTF-8 names no 8-bit encoding", () => {
    const text = `${"Grüße ".repeat(20)}${prose(31, 10)}`;
    for (const [name, bytes] of [
      ["cut.txt", Buffer.concat([Buffer.from(text), Buffer.from([0xc3])])],
      ["damaged.txt", Buffer.concat([Buffer.from(text), Buffer.from([0xff]), Buffer.from(text)])],
    ] as const) {
      const { remedy } = workspace.refusal(name, bytes);
      match(remedy, /iconv -c -f UTF-8 /, name);
      ok(!/LATIN1|WINDOWS/.test(remedy), name);
    }
  });

  it("the remedy of a compressed file decompresses it before it converts the text", () => {
    const { remedy } = workspace.refusal("l.txt.gz", gzipSync(Buffer.from(`caf\xe9 ${prose(31, 10)}`, "latin1")));
    match(remedy, /gunzip -c < '.*l\.txt\.gz' \| iconv -f LATIN1 -t UTF-8/);
  });
});
