import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { read } from "../testing/read.js";

/** Written by pyarrow; e2e/golden/data/make_ingest.py. */
const golden = (name: string): Buffer => readFileSync(new URL(`../../../../e2e/golden/data/ingest/files/${name}.parquet`, import.meta.url));

describe("Parquet", () => {
  it("each codec gives the same number of rows, with places that count over row groups", async () => {
    for (const codec of ["none", "snappy", "gzip", "zstd"]) {
      const { documents, counts, error } = await read("a.parquet", golden(codec));
      deepStrictEqual([counts.in, counts.out, error], [30, 30, undefined], codec);
      deepStrictEqual([documents[29]?.place, documents[29]?.name], ["row 30", `pq-${codec}-29`]);
    }
  });

  it("nulls are dropped, and a missing column is an error", async () => {
    deepStrictEqual((await read("a.parquet", golden("nulls"))).counts.dropped, { "text is not a string": 4 });
    strictEqual((await read("a.parquet", golden("none"), { textField: "content" })).error, "no column content");
    deepStrictEqual((await read("a.parquet", golden("none"), { textField: "n" })).counts.dropped, { "text is not a string": 30 });
  });

  it("a text that is not UTF-8 is dropped, and is not repaired", async () => {
    const bytes = golden("none");
    const text = (await read("a.parquet", bytes)).texts[29] ?? "";
    const at = bytes.lastIndexOf(Buffer.from(text.slice(0, 20)));
    ok(at > 0);
    bytes[at] = 0xe9;
    const { counts, error } = await read("a.parquet", bytes);
    deepStrictEqual([counts.dropped, counts.out, error], [{ "not UTF-8": 1 }, 29, undefined]);
  });

  it("a damaged row group is counted with all its rows, and the others are read", async () => {
    const bytes = golden("zstd");
    // The first frame of zstd belongs to the first column of the first group, which has the identifiers.
    const frame = bytes.indexOf(Buffer.from("28b52ffd", "hex"));
    bytes.fill(0xff, frame, frame + 12);
    const { counts, error, documents } = await read("a.parquet", bytes);
    deepStrictEqual([counts.dropped, counts.out, error], [{ "damaged row group": 11 }, 19, "damaged"]);
    strictEqual(documents[0]?.place, "row 12");
  });

  it("a truncated file is not Parquet at any length", async () => {
    const bytes = golden("snappy");
    for (let end = 0; end < bytes.length; end += 97) {
      const { counts, error } = await read("a.parquet", bytes.subarray(0, end));
      deepStrictEqual([counts.in, error], [0, "not Parquet"], `${end}`);
    }
  });

  it("a changed byte never ends in silence about rows: the account adds up and names an error or 30 rows", async () => {
    const bytes = golden("snappy");
    for (let at = 0; at < bytes.length; at += 41) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      const { counts, error } = await read("a.parquet", changed);
      ok(error !== undefined || counts.in === 30, `${at}`);
    }
  });
});
