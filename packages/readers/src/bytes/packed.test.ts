import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { prose } from "@lapidary/std/testing";
import { jsonl, numbered, read } from "../testing/read.js";
import { packedByZstd } from "../testing/zstd-frames.js";
import type { MemberEvent } from "./members.js";
import { trustedPieces } from "./unpacked.js";

const [a, b, c] = [numbered(5, "first"), numbered(6, "second"), numbered(7, "third")];
const members = [a, b, c].map((texts) => gzipSync(jsonl(texts)));
const [first = Buffer.alloc(0), second = Buffer.alloc(0), third = Buffer.alloc(0)] = members;

/** The bytes with one bit changed. */
function damaged(bytes: Buffer, at: number, mask = 0x40): Buffer {
  const copy = Buffer.from(bytes);
  const place = at < 0 ? bytes.length + at : at;
  copy[place] = (copy[place] ?? 0) ^ mask;
  return copy;
}

describe("compressed files", () => {
  it("all members of a gzip file are read, with names, comments and padding", async () => {
    const named = Buffer.concat([
      Buffer.from("1f8b081e000000000003", "hex"),
      Buffer.from([2, 0, 9, 9]),
      Buffer.from("name\0comment\0\x01\x02"),
      first.subarray(10),
    ]);
    for (const bytes of [Buffer.concat(members), Buffer.concat([named, second, third]), Buffer.concat([...members, Buffer.alloc(700)])]) {
      const { texts, error } = await read("a.jsonl.gz", bytes);
      deepStrictEqual([texts, error], [[...a, ...b, ...c], undefined]);
    }
    deepStrictEqual((await read("a.jsonl", Buffer.concat(members))).texts, [...a, ...b, ...c]);
    deepStrictEqual((await read("a.jsonl.gz", gzipSync(""))).counts.errors, []);
  });

  it("a truncated gzip file at any byte gives its whole lines and an error", async () => {
    const texts = prose(1, 30).split("\n\n");
    const whole = Buffer.concat([gzipSync(jsonl(texts)), gzipSync(jsonl(texts))]);
    let before = 0;
    for (let end = 0; end < whole.length; end += end < 12 || end > whole.length - 12 ? 1 : 7) {
      const result = await read("a.jsonl.gz", whole.subarray(0, end));
      // Between the members, the file is whole.
      strictEqual(result.error, end === whole.length / 2 ? undefined : "truncated", `${end}`);
      deepStrictEqual(result.texts, [...texts, ...texts].slice(0, result.texts.length));
      // The line that the end of the file cuts is not a document.
      deepStrictEqual([result.counts.in, result.counts.dropped], [result.texts.length, {}]);
      ok(result.texts.length >= before);
      before = result.texts.length;
    }
    ok(before >= 2 * texts.length - 1);
  });

  it("no text of a member with a wrong checksum or damaged bytes is delivered, and the members around it are", async () => {
    for (const at of [-5, -2]) {
      const { texts, error } = await read("a.jsonl.gz", Buffer.concat([first, damaged(second, at), third]));
      deepStrictEqual([texts, error], [[...a, ...c], "checksum"]);
    }
    const noise = Buffer.concat([second.subarray(0, 20), Buffer.alloc(40, 0xff), second.subarray(60)]);
    const { texts, error } = await read("a.jsonl.gz", Buffer.concat([first, noise, third]));
    deepStrictEqual([texts, error], [a, "damaged"]);
  });

  it("a changed bit of a gzip member never gives another text without an error", async () => {
    const texts = numbered(40);
    const whole = gzipSync(jsonl(texts));
    for (let at = 10; at < whole.length; at++) {
      const result = await read("a.jsonl.gz", damaged(whole, at, 0x24));
      ok(result.error !== undefined, `${at}`);
      deepStrictEqual(result.texts, texts.slice(0, result.texts.length), `${at}`);
    }
  });

  it("a file that is not what its name says, and bytes after the last member, are errors", async () => {
    const cases: readonly (readonly [string, Uint8Array, string, number])[] = [
      ["a.jsonl.gz", Buffer.from(jsonl(a)), "not gzip", 0],
      ["a.jsonl.zst", Buffer.from(jsonl(a)), "not zstd", 0],
      ["a.jsonl.gz", Buffer.alloc(0), "truncated", 0],
      ["a.jsonl.zst", Buffer.alloc(0), "truncated", 0],
      ["a.jsonl.gz", Buffer.concat([first, Buffer.from("and more")]), "bytes after the last gzip member", 5],
      ["a.jsonl.zst", Buffer.concat([packedByZstd.piped, Buffer.from("and more")]), "bytes after the last zstd frame", 40],
      ["a.jsonl.gz", gzipSync(first), "packed twice", 0],
    ];
    for (const [file, bytes, error, out] of cases) {
      const result = await read(file, bytes);
      deepStrictEqual([result.error, result.counts.out], [error, out], error);
    }
  });

  it("all frames of a zstd file are read, and a changed or missing byte never gives another text", async () => {
    const { piped, sized, skipped, withDictionary, text } = packedByZstd;
    const texts = text
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { text: string }).text);
    const all = await read("a.jsonl.zst", Buffer.concat([skipped, piped, skipped, sized, piped]));
    deepStrictEqual([all.texts, all.error], [[...texts, ...texts, ...texts], undefined]);
    strictEqual((await read("a.jsonl.zst", withDictionary)).error, "zstd with a dictionary");
    // Byte 4 says whether the frame has a checksum.
    for (let at = 5; at < piped.length; at++) {
      const changed = await read("a.jsonl.zst", damaged(piped, at, 0x24));
      deepStrictEqual(changed.texts, changed.error === undefined ? texts : [], `${at}`);
      const cut = await read("a.jsonl.zst", Buffer.concat([sized, piped.subarray(0, at)]));
      deepStrictEqual([cut.error, cut.texts.slice(0, texts.length)], ["truncated", texts], `${at}`);
    }
    deepStrictEqual((await read("a.jsonl.zst", Buffer.concat([damaged(piped, -1), sized]))).texts, texts);
  });

  it("a member that is larger than the memory for it is read twice, and is not delivered if its checksum fails", async () => {
    let opened = 0;
    async function* events(): AsyncGenerator<MemberEvent> {
      opened++;
      for (const [name, end] of [
        ["a", "whole"],
        ["b", "checksum"],
        ["c", "whole"],
        ["d", "truncated"],
      ] as const) {
        for (let i = 0; i < 3; i++) yield { bytes: Buffer.from(name) };
        yield { end };
      }
    }
    for (const [limit, times] of [
      [100, 1],
      [2, 2],
    ] as const) {
      opened = 0;
      const pieces = trustedPieces(events, limit);
      let seen = "";
      let next = await pieces.next();
      for (; next.done !== true; next = await pieces.next())
        seen += typeof next.value === "string" ? `<${next.value}>` : next.value.toString();
      deepStrictEqual([seen, next.value, opened], ["aaa<gap>cccddd<cut>", "checksum", times]);
    }
  });
});
