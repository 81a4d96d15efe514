import { ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { type FuzzTarget, hostileBytes, hostileText } from "@lapidary/std/testing";
import fc from "fast-check";
import { f32Array } from "../array-data.js";
import { decodeSafetensors, safetensorsParts } from "../safetensors.js";

/** Well-formed headers with arbitrary values. */
const headers = fc.dictionary(
  fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom("__metadata__", "__proto__", "constructor")),
  fc.oneof(
    fc.record({
      dtype: fc.constantFrom("F32", "I64", "BF16", "BOOL", "X"),
      shape: fc.array(fc.oneof(fc.nat(5), fc.constantFrom(-1, 0.5, 2 ** 53, 1e300)), { maxLength: 3 }),
      data_offsets: fc.array(fc.oneof(fc.nat(40), fc.constantFrom(-1, 2 ** 53)), { maxLength: 3 }),
    }),
    fc.jsonValue({ maxDepth: 3 }),
  ),
  { maxKeys: 4 },
);

const withHeader = (header: string, length: bigint, data: Uint8Array): Uint8Array => {
  const bytes = Buffer.alloc(8 + Buffer.byteLength(header));
  bytes.writeBigUInt64LE(length);
  bytes.write(header, 8);
  return Buffer.concat([bytes, data]);
};

const files = fc
  .dictionary(
    fc.string({ minLength: 1, maxLength: 5 }).filter((name) => !name.startsWith("__")),
    fc.array(fc.float(), { maxLength: 6 }),
    { maxKeys: 3 },
  )
  .map((tensors) => new Map(Object.entries(tensors).map(([name, values]) => [name, f32Array([values.length], values)])))
  .map((arrays) => Buffer.concat([...safetensorsParts(arrays)]));

const cases = fc.oneof(
  { weight: 2, arbitrary: hostileBytes(files) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.oneof(
          headers.map((header) => JSON.stringify(header)),
          hostileText(fc.constant("{}")),
        ),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([header, data]) => withHeader(header, BigInt(Buffer.byteLength(header)), data)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.uint8Array({ maxLength: 40 }))
      .map(([length, data]) => withHeader("{}", length, data)),
  },
);

/** Decodes the bytes. @returns whether they were arrays; otherwise the decoder threw a LapidaryError */
export function decodesOrRejects(bytes: Uint8Array): boolean {
  try {
    const arrays = decodeSafetensors(bytes, "fuzz");
    ok(
      [...arrays.values()].reduce((sum, { data }) => sum + data.length, 0) <= bytes.length,
      "a file decodes to at most as many numbers as it has bytes",
    );
    return true;
  } catch (error) {
    ok(error instanceof LapidaryError, error instanceof Error ? (error.stack ?? error.message) : String(error));
    return false;
  }
}

export const safetensorsFuzzTarget: FuzzTarget = {
  name: "safetensors",
  property: fc.property(cases, (bytes) => void decodesOrRejects(bytes)) as fc.IRawProperty<unknown>,
};
