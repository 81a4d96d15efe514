import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { safetensorsDoor, survives } from "./testing/hostile.js";
import { type ArrayData, decodeSafetensors, f32Array, i32Array, readSafetensors, safetensorsParts, writeSafetensors } from "./index.js";

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

const refuses = (bytes: Uint8Array, code: string, place: RegExp, message: RegExp): void =>
  throws(
    () => decodeSafetensors(bytes, "m.safetensors"),
    (error) => {
      ok(error instanceof LapidaryError, String(error));
      strictEqual(error.code, code);
      ok(place.test(error.place ?? ""), error.place);
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
  it("gives back every bit that was written", async () => {
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

  it("gives back arrays of any names and sizes", () => {
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

  it("aligns the data to 8 bytes with blanks after the header", () => {
    const bytes = bytesOf(sample);
    strictEqual(Number(Buffer.from(bytes).readBigUInt64LE()) % 8, 0);
  });

  it("widens F16 and BF16 exactly and narrows I64 that fits", () => {
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
    refuses(
      file({ i: entry(0, 8, [1], "I64") }, new Uint8Array(BigInt64Array.of(1n << 40n).buffer)),
      "LAP_SAFETENSORS_VALUE",
      /tensor "i"/,
      /does not fit/,
    );
    refuses(file({ d: entry(0, 8, [1], "F64") }, new Uint8Array(8)), "LAP_SAFETENSORS_DTYPE", /tensor "d"/, /F64/);
  });

  it("checks the header's length before it asks for memory", () => {
    refuses(file("{}", new Uint8Array(), 2n ** 63n), "LAP_SAFETENSORS_HEADER", /^m\.safetensors$/, /limit is 100000000/);
    refuses(file("{}", new Uint8Array(), 99_999_999n), "LAP_SAFETENSORS_TRUNCATED", /^m\.safetensors$/, /claims 99999999/);
    refuses(new Uint8Array(3), "LAP_SAFETENSORS_TRUNCATED", /^m\.safetensors$/, /3 bytes/);
  });

  it("names the file and the tensor of what is wrong", () => {
    const data = new Uint8Array(16);
    refuses(file(' {"a": 1}'), "LAP_SAFETENSORS_HEADER", /./, /begin with/);
    refuses(file("{]"), "LAP_SAFETENSORS_HEADER", /./, /strict JSON.*character 1/);
    refuses(file(`{"a": ${"[".repeat(5000)}`), "LAP_SAFETENSORS_HEADER", /./, /nested too deeply/);
    refuses(file(JSON.stringify({ a: entry(0, 16) }).replace("}}", '},"a":{}}'), data), "LAP_SAFETENSORS_HEADER", /./, /"a" given twice/);
    refuses(file('{"__proto__": {"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), "LAP_SAFETENSORS_TENSOR", /__proto__/, /not allowed/);
    refuses(
      file({ a: entry(0, 16, [3]) }, data),
      "LAP_SAFETENSORS_TENSOR",
      /m\.safetensors: tensor "a"/,
      /takes 12 bytes, its data_offsets 16/,
    );
    refuses(file({ a: entry(0, 16, [2 ** 30, 2 ** 30]) }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /takes/);
    refuses(file({ a: entry(0, 16, [-4]) }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /whole numbers/);
    refuses(file({ a: entry(0, 16, [16], "F7") }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /dtype is "F7"/);
    refuses(file({ a: entry(0, 16), b: entry(8, 16) }, data), "LAP_SAFETENSORS_TENSOR", /"b"/, /overlaps/);
    refuses(file({ a: entry(0, 4), b: entry(8, 16) }, data), "LAP_SAFETENSORS_TENSOR", /"b"/, /4 bytes before it/);
    refuses(file({ a: entry(0, 12) }, data), "LAP_SAFETENSORS_HEADER", /^m\.safetensors$/, /4 bytes at the end/);
    refuses(file({ a: entry(0, 20) }, data), "LAP_SAFETENSORS_TRUNCATED", /"a"/, /ends 4 bytes before/);
    refuses(file({ a: { ...entry(0, 16), extra: 1 } }, data), "LAP_SAFETENSORS_TENSOR", /"a"/, /unknown key "extra"/);
    refuses(file({ __metadata__: { a: 1 } }), "LAP_SAFETENSORS_HEADER", /./, /not a string/);
    refuses(file(Buffer.from([0x7b, 0xff, 0x7d]).toString("latin1")), "LAP_SAFETENSORS_HEADER", /./, /JSON/);
  });

  it("answers every truncation, bit flip and heap of random bytes with an error or with arrays, never with another exception", () => {
    const whole = bytesOf(sample);
    for (let length = 0; length < whole.length; length++) ok(!survives(whole.subarray(0, length)), `truncated to ${length}`);
    const headerBits = 8 * (8 + Number(Buffer.from(whole).readBigUInt64LE()));
    for (let bit = 0; bit < headerBits; bit++) {
      const bytes = Uint8Array.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      survives(bytes);
    }
    return fc.assert(safetensorsDoor.property, { numRuns: 400 });
  });

  it("says what is the matter with a path that it cannot read", async () => {
    await rejects(
      readSafetensors("/nowhere/x.safetensors"),
      (error) => error instanceof LapidaryError && error.code === "LAP_FILE_UNREADABLE" && error.place === "/nowhere/x.safetensors",
    );
    await rejects(readSafetensors(tmpdir()), (error) => error instanceof LapidaryError && /not a regular file/.test(error.message));
  });

  it("leaves the old file whole when a write fails", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lapidary-"));
    try {
      const path = join(directory, "x.safetensors");
      await writeFile(path, "old");
      const { writeFileAtomic } = await import("./index.js");
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
