import { readFileSync } from "node:fs";
import type { Tensor } from "@lapidary/ir";

/** The arrays of a safetensors file as doubles, also of types that checkpoints do not have. Unsigned integers become i32 with the same bits. */
export function readArrays(path: string): Map<string, Float64Array> {
  const bytes = readFileSync(path);
  const head = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + head).toString("utf8")) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return new Map(
    entries.map(
      ([
        name,
        {
          dtype,
          data_offsets: [from, to],
        },
      ]) => [name, decode(dtype, bytes.subarray(8 + head + from, 8 + head + to))],
    ),
  );
}

function decode(dtype: string, bytes: Buffer): Float64Array {
  const read: Readonly<Record<string, readonly [width: number, (at: number) => number]>> = {
    F32: [4, (at) => bytes.readFloatLE(at)],
    I32: [4, (at) => bytes.readInt32LE(at)],
    U32: [4, (at) => bytes.readUInt32LE(at) | 0],
    U8: [1, (at) => bytes.readUInt8(at)],
    BOOL: [1, (at) => bytes.readUInt8(at)],
    BF16: [2, (at) => Buffer.from(Uint32Array.of(bytes.readUInt16LE(at) * 0x10000).buffer).readFloatLE(0)],
  };
  const reader = read[dtype];
  if (reader === undefined) throw new Error(`no reader for ${dtype}`);
  return Float64Array.from({ length: bytes.length / reader[0] }, (_, i) => reader[1](i * reader[0]));
}

/** Rounds each element to the type of the array, as the hardware stores it. */
export function roundToType(value: Tensor): Tensor {
  if (value.dtype === "f32") return { ...value, data: value.data.map(Math.fround) };
  return value.dtype === "bf16" ? { ...value, data: toBf16(value.data) } : value;
}

/** Rounds f32 numbers to bf16, ties to even, in one array of words. */
function toBf16(data: Float64Array): Float64Array {
  const floats = Float32Array.from(data);
  const words = new Uint32Array(floats.buffer);
  for (const [i, bits] of words.entries()) if (Number.isFinite(floats[i])) words[i] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return Float64Array.from(floats);
}
