import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { jsonl, numbered, read } from "../testing/read.js";

const line = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);

describe("JSONL", () => {
  it("each kind of bad line is dropped with its reason, and the lines around it are read", async () => {
    const bad: readonly (readonly [reason: string, line: Uint8Array])[] = [
      ["bad JSON", Buffer.from('{"text": "no end\n')],
      ["bad JSON", Buffer.from("not json\n")],
      ["bad JSON", Buffer.from('{"text": "a\0b"}\n')],
      ["bad JSON", Buffer.from("\0\0\0\0\n")],
      ["bad JSON", Buffer.from('{"text": NaN}\n')],
      ["not an object", line(["a", "list"])],
      ["not an object", line("a string")],
      ["not an object", line(null)],
      ["not an object", line(5)],
      ["no text", line({ content: "in another field" })],
      ["no text", line({})],
      ["text is not a string", line({ text: null })],
      ["text is not a string", line({ text: 5 })],
      ["text is not a string", line({ text: ["a"] })],
      ["text is not a string", line({ text: { text: "inner" } })],
      ["empty text", line({ text: "" })],
      ["empty text", line({ text: " \n\t\u00a0\u0085\u001c" })],
      ["lone surrogate", Buffer.from('{"text": "half \\ud83d here"}\n')],
      ["not UTF-8", Buffer.from('{"text": "caf\xe9"}\n', "latin1")],
      ["too large", line({ text: "x".repeat(500) })],
    ];
    const good = jsonl(numbered(2));
    for (const [reason, bytes] of bad) {
      const { texts, counts, error } = await read("a.jsonl", Buffer.concat([Buffer.from(good), bytes, Buffer.from(good)]), {
        maxDocumentBytes: 400,
      });
      deepStrictEqual(
        { texts, dropped: counts.dropped, in: counts.in, error },
        { texts: [...numbered(2), ...numbered(2)], dropped: { [reason]: 1 }, in: 5, error: undefined },
        reason,
      );
    }
  });

  it("byte order marks, CRLF, blank lines and a missing last line end change no text", async () => {
    const plain = jsonl(numbered(5));
    const forms = [
      plain,
      `\ufeff${plain}`,
      plain.replaceAll("\n", "\r\n"),
      plain.replaceAll("\n", "\n\n \t\r\n"),
      plain.trimEnd(),
      `\n${plain}`,
    ];
    for (const form of forms) {
      const { texts, counts } = await read("a.jsonl", form);
      deepStrictEqual([texts, counts.in], [numbered(5), 5]);
    }
    for (const [mark, swap] of [
      ["\ufeff", false],
      ["\ufeff", true],
    ] as const) {
      const wide = Buffer.from(mark + plain, "utf16le");
      deepStrictEqual((await read("a.jsonl", swap ? wide.swap16() : wide)).texts, numbered(5));
    }
  });

  it("line separators of Unicode do not end a line, and the last of two equal keys counts", async () => {
    const { texts } = await read("a.jsonl", '{"text": "a\u2028b\u2029c\u0085d"}\n{"text": "first", "text": "second"}\n');
    deepStrictEqual(texts, ["a\u2028b\u2029c\u0085d", "second"]);
  });

  it("a dot selects an inner field, and fields that objects inherit are not fields", async () => {
    const rows = '{"meta": {"text": "inner"}, "key": 7}\n{"meta.text": "whole name"}\n{"meta": []}\n';
    const { texts, documents, counts } = await read("a.jsonl", rows, { textField: "meta.text", nameField: "key" });
    deepStrictEqual(
      [texts, documents.map(({ name }) => name), counts.dropped],
      [["inner", "whole name"], ["7", "line 2"], { "no text": 1 }],
    );
    deepStrictEqual((await read("a.jsonl", "{}\n", { textField: "toString" })).counts.dropped, { "no text": 1 });
  });

  it("an id is a function of source, file and place, so equal identifiers of a file are apart", async () => {
    const twice = await read("a.jsonl", '{"id": "x", "text": "one"}\n{"id": "x", "text": "one"}\n');
    const again = await read("a.jsonl", '{"id": "x", "text": "one"}\n{"id": "x", "text": "two"}\n');
    notStrictEqual(twice.documents[0]?.id, twice.documents[1]?.id);
    deepStrictEqual(
      twice.documents.map(({ id }) => id),
      again.documents.map(({ id }) => id),
    );
    notStrictEqual((await read("b.jsonl", '{"text": "one"}\n')).documents[0]?.id, twice.documents[0]?.id);
  });

  it("a file of another format is an error of the file", async () => {
    for (const [bytes, error] of [
      ["PAR1 and more", "not text: a Parquet file"],
      [Buffer.from(jsonl(numbered(9)), "utf16le"), "not text: UTF-16LE text without a byte order mark"],
    ] as const) {
      const result = await read("a.jsonl", bytes);
      deepStrictEqual([result.error, result.counts.in], [error, 0]);
    }
    strictEqual((await read("a.jsonl", "")).error, undefined);
  });
});
