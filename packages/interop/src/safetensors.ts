import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { sizeOf } from "@lapidary/ir";
import { assert, LapidaryError, ensure } from "@lapidary/std";
import { type ArrayData, f32Array, i32Array } from "./array-data.js";
import { readExactly, writeFileAtomic } from "./atomic-file.js";
import { kindOfBytes, rejectOtherKind } from "./file-kind.js";
import { bf16ToF32, f16ToF32 } from "./half.js";
import {
  dtypeBytes,
  headerLength,
  lengthBytes,
  maxHeaderBytes,
  parseHeader,
  type SafetensorsDtype,
  type SafetensorsHeader,
  safetensorsError,
  type TensorEntry,
} from "./safetensors-header.js";

/** Number of bytes that distinguish a safetensors file from other formats. */
const headBytes = 1024;

/** An open file. Its header was read and checked; arrays are read one by one. */
export class SafetensorsFile {
  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    readonly header: SafetensorsHeader,
    private readonly dataStart: number,
  ) {}

  /** @throws LapidaryError with the file (and tensor) if it is missing, truncated or corrupt */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await openToRead(path);
    try {
      const { size } = await file.stat();
      const head = new Uint8Array(Math.min(headBytes, size));
      await readExact(file, head, 0, path);
      rejectOtherKind(kindOfBytes(head, size), path, "a safetensors file");
      const length = headerLength(head.subarray(0, lengthBytes), size, path);
      const bytes = new Uint8Array(length);
      await readExact(file, bytes, lengthBytes, path);
      const dataStart = lengthBytes + length;
      return new SafetensorsFile(path, file, parseHeader(bytes, size - dataStart, path), dataStart);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.header.tensors.keys()];
  }

  dimsOf(name: string): readonly number[] | undefined {
    return this.header.tensors.get(name)?.dims;
  }

  dtypeOf(name: string): SafetensorsDtype | undefined {
    return this.header.tensors.get(name)?.dtype;
  }

  /** Reads an array. F16 and BF16 are widened to f32; I64 values must fit in 32 bits; U32 keep their bits; narrower integers are widened; BOOL are 0 and 1. */
  async read(name: string): Promise<ArrayData> {
    const entry = this.header.tensors.get(name);
    if (entry === undefined) throw safetensorsError("LAP_SAFETENSORS_TENSOR", this.path, "tensor not found in the file", name);
    const bytes = new Uint8Array(entry.end - entry.begin);
    await readExact(this.file, bytes, this.dataStart + entry.begin, this.path, name);
    return decode(entry, bytes, this.path);
  }

  /** Elements `[from, to)` in row-major order, converted as by `read`. */
  async readRange(name: string, from: number, to: number): Promise<ArrayData> {
    const entry = this.header.tensors.get(name);
    if (entry === undefined) throw safetensorsError("LAP_SAFETENSORS_TENSOR", this.path, "tensor not found in the file", name);
    const size = dtypeBytes[entry.dtype];
    const bytes = new Uint8Array((to - from) * size);
    await readExact(this.file, bytes, this.dataStart + entry.begin + from * size, this.path, name);
    return decode({ ...entry, dims: [to - from] }, bytes, this.path);
  }

  async readAll(): Promise<Map<string, ArrayData>> {
    const arrays = new Map<string, ArrayData>();
    for (const name of this.names) arrays.set(name, await this.read(name));
    return arrays;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

/** Reads all arrays of a file, by name. */
export async function readSafetensors(path: string): Promise<Map<string, ArrayData>> {
  const file = await SafetensorsFile.open(path);
  try {
    return await file.readAll();
  } finally {
    await file.close();
  }
}

/** Decodes all arrays from memory, by name. `name` is the location in errors. */
export function decodeSafetensors(bytes: Uint8Array, name: string): Map<string, ArrayData> {
  const length = headerLength(bytes.subarray(0, lengthBytes), bytes.length, name);
  const dataStart = lengthBytes + length;
  const { tensors } = parseHeader(bytes.subarray(lengthBytes, dataStart), bytes.length - dataStart, name);
  // Copy, so that each array is aligned and owns its memory (`slice` of a Buffer returns a view).
  return new Map(
    [...tensors].map(([key, entry]) => [
      key,
      decode(entry, Uint8Array.from(bytes.subarray(dataStart + entry.begin, dataStart + entry.end)), name),
    ]),
  );
}

/** Replaces the file at `path` atomically. The arrays are stored in the order of the map. */
export function writeSafetensors(
  path: string,
  arrays: ReadonlyMap<string, ArrayData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  return writeFileAtomic(path, safetensorsParts(arrays, metadata));
}

/** The bytes of a file, in parts; arrays are not copied. */
export function* safetensorsParts(
  arrays: ReadonlyMap<string, ArrayData>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  for (const [name, { dims, data }] of arrays) assert(data.length === sizeOf(dims), "data fills its dims", name, data.length, dims);
  yield* safetensorsHead(arrays, metadata);
  for (const { data } of arrays.values()) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The bytes of a file before its arrays: the length of the header, and the header. The arrays follow in the order of the map. */
export function safetensorsHead(
  arrays: ReadonlyMap<string, Pick<ArrayData, "dtype" | "dims">>,
  metadata: Readonly<Record<string, string>> = {},
): readonly [length: Uint8Array, header: Uint8Array] {
  assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, "arrays are little-endian in memory, as in the file");
  let at = 0;
  const entries = [...arrays].map(([name, { dtype, dims }]) => {
    assert(name !== "__metadata__" && name !== "__proto__", "a tensor name that the format allows", name);
    const begin = at;
    at += dtypeBytes[dtype === "f32" ? "F32" : "I32"] * sizeOf(dims);
    return [name, { dtype: dtype === "f32" ? "F32" : "I32", shape: dims, data_offsets: [begin, at] }] as const;
  });
  const json = JSON.stringify(
    Object.fromEntries([...(Object.keys(metadata).length === 0 ? [] : [["__metadata__", metadata] as const]), ...entries]),
  );
  const header = Buffer.from(json, "utf8");
  // Spaces after the JSON align the data to 8 bytes.
  const padded = Buffer.concat([header, Buffer.alloc((8 - (header.length % 8)) % 8, " ")]);
  assert(padded.length <= maxHeaderBytes, "the header is within the limit of the format", padded.length);
  const prefix = Buffer.alloc(lengthBytes);
  prefix.writeBigUInt64LE(BigInt(padded.length));
  return [prefix, padded];
}

function decode(entry: TensorEntry, bytes: Uint8Array, file: string): ArrayData {
  const { dtype, dims, name } = entry;
  const { buffer } = bytes;
  switch (dtype) {
    case "F32":
      return f32Array(dims, new Float32Array(buffer));
    case "BF16":
      return f32Array(dims, bf16ToF32(new Uint16Array(buffer)));
    case "F16":
      return f32Array(dims, f16ToF32(new Uint16Array(buffer)));
    case "I32":
      return i32Array(dims, new Int32Array(buffer));
    case "U32":
      return i32Array(dims, new Int32Array(buffer));
    case "BOOL":
      return i32Array(dims, new Uint8Array(buffer));
    case "I8":
      return i32Array(dims, new Int8Array(buffer));
    case "U8":
      return i32Array(dims, new Uint8Array(buffer));
    case "I16":
      return i32Array(dims, new Int16Array(buffer));
    case "U16":
      return i32Array(dims, new Uint16Array(buffer));
    case "I64":
      return i32Array(dims, narrow(new BigInt64Array(buffer), file, name));
    default:
      throw safetensorsError("LAP_SAFETENSORS_DTYPE", file, `unsupported dtype ${dtype}`, name);
  }
}

function narrow(values: BigInt64Array, file: string, name: string): Int32Array {
  const out = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = ensure(values[i], "element");
    if (value !== BigInt.asIntN(32, value))
      throw safetensorsError("LAP_SAFETENSORS_VALUE", file, `element ${i}, ${value}, does not fit in 32 bits`, name);
    out[i] = Number(value);
  }
  return out;
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    // Open a pipe without waiting for its other end.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const missing = code === "ENOENT" || code === "ENOTDIR";
    throw new LapidaryError({
      code: "LAP_FILE_UNREADABLE",
      message: missing ? "file not found" : `cannot open the file (${code ?? String(cause)})`,
      location: path,
      remedy: missing ? "check the path" : "check its permissions",
      cause,
    });
  }
  throw new LapidaryError({
    code: "LAP_FILE_UNREADABLE",
    message: "not a regular file",
    location: path,
    remedy: "give the path of a regular file",
  });
}

async function readExact(file: FileHandle, target: Uint8Array, position: number, path: string, tensor?: string): Promise<void> {
  if (!(await readExactly(file, target, position)))
    throw safetensorsError("LAP_SAFETENSORS_TRUNCATED", path, "the file became shorter during the read", tensor);
}
