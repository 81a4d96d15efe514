import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { type ArrayData, f32Array, i32Array } from "./array-data.js";
import { writeFileAtomic } from "./atomic-file.js";
import { decodesOrRejects, safetensorsFuzzTarget } from "./testing/fuzz.js";
import { decodeSafetensors, readSafetensors, safetensorsParts, writeSafetensors } from "./safetensors.js";

/** A file from any header text and data. */
function file(header: string | Record<string, unknown>, data: Uint8Array = new Uint8Array(), claimed?: bigint): Uint8Array {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([prefix, text, data]);
}

const entry = (begin: number, end: number, shape: readonly number[] = [(end - begin) / 4], dtype = "F32"): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const rejectsWith = (bytes: Uint8Array, code: string, place: RegExp, message: RegExp): void =>
  throws(
    () => decodeSafetensors(bytes, "m.safetensors"),
    (error) => {
      ok(error instanceof LapidaryError, String(error));
      strictEqual(error.code, code);
      ok(place.test(error.location ?? ""), error.location);
      ok(message.test(error.message), error.message);
      return true;
    },
  );

const sample = new Map<string, ArrayData>([
  ["model.norm.weight", f32Array([3], [0.5, -1, Number.NaN])],
  ["ids", i32Array([2, 2], [1, -2, 3, 2147483647])],
  ["empty", f32Array([0, 4], [])],
  ["scalar", f32Array([], [7])],
]);
const bytesOf = (arrays: ReadonlyMap<string, ArrayData>): Uint8Array => Buffer.concat([...safetensorsParts(arrays, { format: "pt" })]);

describe("safetensors", () => {
  it("a safetensors file returns every written bit", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
    try {
      const path = join(directory, "deep", "x.safetensors");
      await writeSafetensors(path, sample, { format: "pt" });
      deepStrictEqual(await readSafetensors(path), sample);
      deepStrictEqual(decodeSafetensors(await readFile(path), path), sample);
      deepStrictEqual(await readdir(join(directory, "deep")), ["x.safetensors"]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("arrays of any names and sizes are returned unchanged", () => {
    const array = fc.array(fc.float(), { maxLength: 9 }).map((xs) => f32Array([xs.length], xs));
    const names = fc.dictionary(
      fc.string().filter((name) => !name.startsWith("__")),
      array,
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(names, (arrays) =>
        deepStrictEqual(decodeSafetensors(bytesOf(new Map(Object.entries(arrays))), "x"), new Map(Object.entries(arrays))),
      ),
    );
  });

  it("spaces after the header align the data to 8 bytes", () => {
    const bytes = bytesOf(sample);
    strictEqual(Number(Buffer.from(bytes).readBigUInt64LE()) % 8, 0);
  });

  it("F16 and BF16 are widened exactly, and I64 values that fit are narrowed", () => {
    const half = Uint8Array.from(new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000).buffer));
    deepStrictEqual(
      decodeSafetensors(file({ h: entry(0, 12, [6], "F16") }, half), "x").get("h"),
      f32Array([6], [1, -2, 2 ** -24, 65504, Infinity, -0]),
    );
    const brain = new Uint8Array(Uint16Array.of(0x3f80, 0xc040, 0x7f80).buffer);
    deepStrictEqual(decodeSafetensors(file({ b: entry(0, 6, [3], "BF16") }, brain), "x").get("b"), f32Array([3], [1, -3, Infinity]));
    deepStrictEqual(
      decodeSafetensors(file({ i: entry(0, 16, [2], "I64") }, new Uint8Array(BigInt64Array.of(-5n, 7n).buffer)), "x").get("i"),
      i32Array([2], [-5, 7]),
    );
    rejectsWith(
      file({ i: entry(0, 8, [1], "I64") }, new Uint8Array(BigInt64Array.of(1n << 40n).buffer)),
      "LAP_SAFETENSORS_VALUE",
      /tensor "i"/,
      /does not fit/,
    );
    rejectsWith(file({ d: entry(0, 8, [1], "F64") }, new Uint8Array(8)), "LAP_SAFETENSORS_DTYPE", /tensor "d"/, /F64/);
  });

  it("the length of the header is checked before memory is allocated", () => {
    rejectsWith(file("{}", new Uint8Array(), 2n ** 63n), "LAP_SAFETENSORS_HEADER", /^m\.safetensors$/, /limit is 100000000/);
    rejectsWith(
      file("{}", new Uint8Array(), 99_999_999n),
      "LAP_SAFETENSORS_TRUNCATED",
      /^m\.safetensors$/,
      /99999999 bytes by its length field/,
    );
    rejectsWith(new Uint8Array(3), "LAP_SAFETENSORS_TRUNCATED", /^m\.safetensors$/, /3 bytes/);
  });

  it("errors contain the file and the tensor", () => {
    const data = new Uint8Array(16);
    rejectsWith(file(' {"a": 1}'), "LAP_SAFETENSORS_HEADER", /./, /does not start with/);
    rejectsWith(file("{]"), "LAP_SAFETENSORS_HEADER", /./, /strict JSON.*character 1/);
    rejectsWith(file(`{"a": ${"[".repeat(5000)}`), "LAP_SAFETENSORS_HEADER", /./, /nested too deeply/);
    rejectsWith(
      file(JSON.stringify({ a: entry(0, 16) }).replace("}}", '},"a":{}}'), data),
      "LAP_SAFETENSORS_HEADER",
      /./,
      /"a" appears twice/,
    );
    rejectsWith(
      file('{"__proto__": {"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
      "LAP_SAFETENSORS_TENSOR",
      /__proto__/,
      /not allowed/,
    );
    rejectsWith(
      file({ a: entry(0, 16, [3]) }, data),
      "LAP_SAFETENSORS_TENSOR",
      /m\.safetensors: tensor "a"/,
      /takes 12 bytes, its data_offsets 16/,
    );
    rejectsWith(file({ a: entry(0, 16, [2 ** 30, 2 ** 30]) }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /takes/);
    rejectsWith(file({ a: entry(0, 16, [-4]) }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /non-negative integers/);
    rejectsWith(file({ a: entry(0, 16, [16], "F7") }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /dtype is "F7"/);
    rejectsWith(file({ a: entry(0, 16), b: entry(8, 16) }, data), "LAP_SAFETENSORS_TENSOR", /"b"/, /overlaps/);
    rejectsWith(file({ a: entry(0, 4), b: entry(8, 16) }, data), "LAP_SAFETENSORS_TENSOR", /"b"/, /4 bytes before it/);
    rejectsWith(file({ a: entry(0, 12) }, data), "LAP_SAFETENSORS_HEADER", /^m\.safetensors$/, /4 bytes at the end/);
    rejectsWith(file({ a: entry(0, 20) }, data), "LAP_SAFETENSORS_TRUNCATED", /"a"/, /lacks its last 4 bytes/);
    rejectsWith(file({ a: { ...entry(0, 16), extra: 1 } }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /unknown key "extra"/);
    rejectsWith(file({ __metadata__: { a: 1 } }), "LAP_SAFETENSORS_HEADER", /./, /not a string/);
    rejectsWith(file(Buffer.from([0x7b, 0xff, 0x7d]).toString("latin1")), "LAP_SAFETENSORS_HEADER", /./, /JSON/);
  });

  it("for every truncation, bit flip and random bytes, the decoder returns arrays or throws a LapidaryError", () => {
    const whole = bytesOf(sample);
    for (let length = 0; length < whole.length; length++) ok(!decodesOrRejects(whole.subarray(0, length)), `truncated to ${length}`);
    const headerBits = 8 * (8 + Number(Buffer.from(whole).readBigUInt64LE()));
    for (let bit = 0; bit < headerBits; bit++) {
      const bytes = Uint8Array.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      decodesOrRejects(bytes);
    }
    return fc.assert(safetensorsFuzzTarget.property, { numRuns: 400 });
  });

  it("an unreadable path is LAP_FILE_UNREADABLE", async () => {
    await rejects(
      readSafetensors("/nowhere/x.safetensors"),
      (error) => error instanceof LapidaryError && error.code === "LAP_FILE_UNREADABLE" && error.location === "/nowhere/x.safetensors",
    );
    await rejects(readSafetensors(tmpdir()), (error) => error instanceof LapidaryError && /not a regular file/.test(error.message));
  });

  it("a failed write leaves the old file unchanged", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
    try {
      const path = join(directory, "x.safetensors");
      await writeFile(path, "old");
      await rejects(
        writeFileAtomic(
          path,
          (function* () {
            yield Buffer.from("half");
            throw new Error("disk full");
          })(),
        ),
        /disk full/,
      );
      strictEqual(await readFile(path, "utf8"), "old");
      deepStrictEqual(await readdir(directory), ["x.safetensors"]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
