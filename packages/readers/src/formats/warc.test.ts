import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { deflateSync, gzipSync } from "node:zlib";
import { read } from "../testing/read.js";

interface RecordOptions {
  readonly type?: string;
  readonly http?: readonly string[];
  readonly end?: string;
}

function record(
  uri: string,
  body: Uint8Array | string,
  { type = "response", http = ["Content-Type: text/html"], end = "\r\n\r\n" }: RecordOptions = {},
): Buffer {
  const isHttp = type === "response" || type === "request";
  const head = isHttp ? `HTTP/1.1 200 OK\r\n${http.map((field) => `${field}\r\n`).join("")}\r\n` : "";
  const block = Buffer.concat([Buffer.from(head), Buffer.from(body)]);
  const fields = `WARC/1.0\r\nWARC-Type: ${type}\r\nWARC-Target-URI: ${uri}\r\nContent-Type: ${isHttp ? `application/http; msgtype=${type}` : "text/plain"}\r\nContent-Length: ${block.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(fields), block, Buffer.from(end)]);
}

const page = (n: number): string => `<html><body><p>Page ${n}.</p></body></html>`;
const responses = [0, 1, 2, 3].map((n) => record(`https://example.org/${n}`, page(n)));
const other = [
  record("urn:info", "software: x", { type: "warcinfo" }),
  record("https://example.org/0", "", { type: "request" }),
  record("dns:x", "1.2.3.4", { type: "resource" }),
];

describe("WARC", () => {
  it("responses are documents, named by their address, and other records are not", async () => {
    const records = [...other, ...responses.flatMap((each) => [each, ...other])];
    for (const [file, bytes] of [
      ["a.warc", Buffer.concat(records)],
      ["a.warc.gz", Buffer.concat(records.map((each) => gzipSync(each)))],
      ["a.warc.gz", gzipSync(Buffer.concat(records))],
    ] as const) {
      const { documents, counts, error } = await read(file, bytes);
      deepStrictEqual(
        documents.map(({ name, text, mediaType }) => [name, text, mediaType]),
        [0, 1, 2, 3].map((n) => [`https://example.org/${n}`, page(n), "text/html"]),
      );
      deepStrictEqual([counts.in, error], [4, undefined]);
    }
  });

  it("an archive that is truncated at any byte gives the whole records before it, and an error", async () => {
    const plain = Buffer.concat(responses);
    const ends = responses.map((_, i) => Buffer.concat(responses.slice(0, i + 1)).length);
    for (let end = 1; end < plain.length; end += 5) {
      const { texts, error } = await read("a.warc", plain.subarray(0, end));
      // The two line ends after a record are not part of it.
      strictEqual(texts.length, ends.filter((each) => each - 4 <= end).length, `${end}`);
      strictEqual(error, ends.includes(end) ? undefined : "truncated", `${end}`);
    }
    const packed = responses.map((each) => gzipSync(each));
    const packedEnds = packed.map((_, i) => Buffer.concat(packed.slice(0, i + 1)).length);
    for (let end = 1; end < Buffer.concat(packed).length; end += 3) {
      const { texts, error } = await read("a.warc.gz", Buffer.concat(packed).subarray(0, end));
      strictEqual(texts.length, packedEnds.filter((each) => each <= end).length, `${end}`);
      strictEqual(error, packedEnds.includes(end) ? undefined : "truncated", `${end}`);
    }
  });

  it("a member with a wrong checksum loses its own records alone", async () => {
    const packed = responses.map((each) => gzipSync(each));
    packed[1]?.writeUInt32LE(1, packed[1].length - 8);
    const { documents, error } = await read("a.warc.gz", Buffer.concat(packed));
    deepStrictEqual([documents.map(({ name }) => name.at(-1)), error], [["0", "2", "3"], "checksum"]);
  });

  it("bytes that are not a record are an error, and the records before them are read", async () => {
    strictEqual((await read("a.warc", "no archive at all\r\n\r\n")).error, "not WARC");
    const noLength = Buffer.from(responses[1]?.toString().replace(/Content-Length: \d+/, "Content-Length: many") ?? "");
    const result = await read("a.warc", Buffer.concat([responses[0] ?? Buffer.alloc(0), noLength]));
    deepStrictEqual([result.texts.length, result.error], [1, "damaged"]);
    deepStrictEqual((await read("a.warc", "")).counts.errors, []);
  });

  it("chunks, content encodings and character sets of a response are undone", async () => {
    const text = "Grüße, <b>World</b>";
    const chunked = Buffer.concat([
      Buffer.from("5;x=1\r\n"),
      Buffer.from(text).subarray(0, 5),
      Buffer.from("\r\n"),
      Buffer.from((Buffer.byteLength(text) - 5).toString(16)),
      Buffer.from("\r\n"),
      Buffer.from(text).subarray(5),
      Buffer.from("\r\n0\r\n\r\n"),
    ]);
    const cases: readonly (readonly [readonly string[], Uint8Array])[] = [
      [["Content-Type: text/html"], Buffer.from(text)],
      [["Content-Type: text/html", "Transfer-Encoding: chunked"], chunked],
      [["Content-Type: text/html", "Transfer-Encoding: chunked"], Buffer.from(text)],
      [["Content-Type: text/html", "Content-Encoding: gzip"], gzipSync(text)],
      [["Content-Type: text/html", "Content-Encoding: gzip"], Buffer.from(text)],
      [["Content-Type: text/html", "Content-Encoding: deflate"], deflateSync(text)],
      [["Content-Type: text/html; charset=ISO-8859-1"], Buffer.from(text, "latin1")],
      [["Content-Type: text/html; charset=no-such-name"], Buffer.from(text)],
    ];
    for (const [http, body] of cases) deepStrictEqual((await read("a.warc", record("u", body, { http }))).texts, [text], http.join());
  });

  it("a response without a text is dropped with its reason", async () => {
    const cases: readonly (readonly [string, Buffer])[] = [
      ["not text", record("u", "\x89PNG", { http: ["Content-Type: image/png"] })],
      ["not UTF-8", record("u", Buffer.from([0x63, 0xe9, 0x21]))],
      ["empty text", record("u", " \r\n")],
      ["damaged content", record("u", gzipSync(page(1)).subarray(0, 30), { http: ["Content-Encoding: gzip"] })],
      ["too large", record("u", "x".repeat(5000))],
    ];
    for (const [reason, bytes] of cases) {
      const { counts, texts } = await read("a.warc", Buffer.concat([bytes, ...responses]), { maxDocumentBytes: 1000 });
      deepStrictEqual([counts.dropped, texts.length, counts.in], [{ [reason]: 1 }, 4, 5], reason);
    }
  });

  it("texts of a .wet file are documents", async () => {
    const bytes = Buffer.concat([record("https://example.org", "Plain text.", { type: "conversion" }), ...other]);
    const { documents } = await read("a.warc.wet.gz", gzipSync(bytes));
    deepStrictEqual(
      documents.map(({ text, mediaType }) => [text, mediaType]),
      [["Plain text.", "text/plain"]],
    );
    strictEqual((await read("a.warc.gz", gzipSync(bytes))).counts.in, 0);
  });
});
