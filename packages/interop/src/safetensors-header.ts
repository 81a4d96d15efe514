import { LapidaryError } from "@lapidary/std";
import { parseStrictJson, type StrictJson, StrictJsonError } from "./strict-json.js";

/**
 * A safetensors file (https://github.com/huggingface/safetensors):
 *
 *     u64 n │ n bytes: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {…}} blanks │ data
 *     8       offsets count from here ─────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Parsed strictly: the tensors fill the data without gap, overlap or rest, and the length of each matches its shape.
 */
export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export interface TensorEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly dims: readonly number[];
  /** Offsets of the first byte, and of the byte after the last, from the start of the data. */
  readonly begin: number;
  readonly end: number;
}

/** Bytes per element. */
export const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;
export type SafetensorsDtype = keyof typeof dtypeBytes;

/** The limit of the format. It keeps an invalid length from allocating memory. */
export const maxHeaderBytes = 100_000_000;
export const lengthBytes = 8;

type SafetensorsCode = `LAP_SAFETENSORS_${"TRUNCATED" | "HEADER" | "TENSOR" | "DTYPE" | "VALUE"}`;

/** @param tensor the tensor concerned, if any */
export function safetensorsError(code: SafetensorsCode, file: string, message: string, tensor?: string): LapidaryError {
  return new LapidaryError({
    code,
    message,
    location: tensor === undefined ? file : `${file}: tensor ${JSON.stringify(shorten(tensor))}`,
  });
}

const shorten = (name: string): string => (name.length > 120 ? `${name.slice(0, 120)}…` : name);

/** Length of the header from the first 8 bytes of a file of `fileBytes`, checked before anything is allocated. */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (prefix.length < lengthBytes)
    throw safetensorsError("LAP_SAFETENSORS_TRUNCATED", file, `the file is too short for a safetensors file: ${prefix.length} bytes`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, lengthBytes).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw safetensorsError(
      "LAP_SAFETENSORS_HEADER",
      file,
      `the header has ${length} bytes by its length field, the limit is ${maxHeaderBytes}`,
    );
  if (Number(length) > fileBytes - lengthBytes)
    throw safetensorsError(
      "LAP_SAFETENSORS_TRUNCATED",
      file,
      `the header has ${length} bytes by its length field, the file only ${fileBytes - lengthBytes}`,
    );
  return Number(length);
}

/**
 * @param bytes the header alone
 * @param dataBytes number of bytes after the header
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  if (bytes[0] !== 0x7b) throw safetensorsError("LAP_SAFETENSORS_HEADER", file, 'the header does not start with "{"');
  const object = parseObject(bytes, file);
  const metadata = new Map<string, string>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of object) {
    if (name === "__metadata__") readMetadata(value, metadata, file);
    else tensors.set(name, readEntry(name, value, file));
  }
  checkComplete([...tensors.values()], dataBytes, file);
  checkTiling([...tensors.values()], dataBytes, file);
  return { metadata, tensors };
}

function parseObject(bytes: Uint8Array, file: string): ReadonlyMap<string, StrictJson> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw safetensorsError("LAP_SAFETENSORS_HEADER", file, "the header is not UTF-8").with({ cause });
  }
  try {
    const value = parseStrictJson(text);
    if (value instanceof Map) return value as ReadonlyMap<string, StrictJson>;
  } catch (error) {
    if (error instanceof StrictJsonError)
      throw safetensorsError("LAP_SAFETENSORS_HEADER", file, `the header is not strict JSON: ${error.message}`);
    throw error;
  }
  throw safetensorsError("LAP_SAFETENSORS_HEADER", file, "the header is not a JSON object");
}

function readMetadata(value: StrictJson, into: Map<string, string>, file: string): void {
  if (!(value instanceof Map)) throw safetensorsError("LAP_SAFETENSORS_HEADER", file, "__metadata__ is not an object");
  for (const [key, text] of value as ReadonlyMap<string, StrictJson>) {
    if (typeof text !== "string")
      throw safetensorsError("LAP_SAFETENSORS_HEADER", file, `__metadata__ entry ${JSON.stringify(shorten(key))} is not a string`);
    into.set(key, text);
  }
}

function readEntry(name: string, value: StrictJson, file: string): TensorEntry {
  const fail = (problem: string): never => {
    throw safetensorsError("LAP_SAFETENSORS_TENSOR", file, problem, name);
  };
  if (name === "__proto__") fail("this name is not allowed");
  if (!(value instanceof Map)) return fail("its entry is not an object");
  const entry = value as ReadonlyMap<string, StrictJson>;
  for (const key of entry.keys())
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") fail(`its entry has an unknown key ${JSON.stringify(shorten(key))}`);
  const dtype = entry.get("dtype");
  if (typeof dtype === "string" && /^(F[468]_?\w*|C64|C128)$/.test(dtype) && !isDtype(dtype))
    throw safetensorsError("LAP_SAFETENSORS_DTYPE", file, `unsupported dtype ${dtype}`, name);
  if (typeof dtype !== "string" || !isDtype(dtype))
    return fail(
      `its dtype is ${typeof dtype === "string" ? JSON.stringify(shorten(dtype)) : "missing"}, expected one of ${Object.keys(dtypeBytes).join(", ")}`,
    );
  const dims = nonNegativeIntegers(entry.get("shape")) ?? fail("its shape is not a list of non-negative integers");
  const offsets = nonNegativeIntegers(entry.get("data_offsets")) ?? fail("its data_offsets are not a list of non-negative integers");
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end)
    return fail("its data_offsets are not a start and an end");
  const bytes = dims.reduce((n, d) => n * d, dtypeBytes[dtype]);
  if (!Number.isSafeInteger(bytes) || bytes !== end - begin)
    fail(`its shape [${dims.slice(0, 8).join(", ")}] of ${dtype} takes ${bytes} bytes, its data_offsets ${end - begin}`);
  return { name, dtype, dims, begin, end };
}

const isDtype = (text: string): text is SafetensorsDtype => Object.hasOwn(dtypeBytes, text);

function nonNegativeIntegers(value: StrictJson | undefined): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value as readonly StrictJson[];
  return items.every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0) ? (items as number[]) : undefined;
}

/** Rejects a file that ends early, as of an interrupted or unfinished download. */
function checkComplete(entries: readonly TensorEntry[], dataBytes: number, file: string): void {
  const needed = entries.reduce((max, { end }) => Math.max(max, end), 0);
  if (needed <= dataBytes) return;
  const cut = entries.filter(({ end }) => end > dataBytes).sort((a, b) => a.begin - b.begin);
  const first = cut[0];
  throw safetensorsError(
    "LAP_SAFETENSORS_TRUNCATED",
    file,
    `the file is truncated: its header describes ${needed} bytes of data, the file has ${dataBytes}; this tensor lacks its last ${(first?.end ?? needed) - dataBytes} bytes${cut.length > 1 ? `, and ${cut.length - 1} more tensors are incomplete` : ""}`,
    first?.name,
  );
}

/** Checks that, in the order of offsets, each tensor starts at the end of the previous one, and the last ends with the file. */
function checkTiling(entries: TensorEntry[], dataBytes: number, file: string): void {
  let at = 0;
  for (const { name, begin, end } of entries.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at)
      throw safetensorsError(
        "LAP_SAFETENSORS_TENSOR",
        file,
        begin < at ? `it overlaps the previous tensor by ${at - begin} bytes` : `${begin - at} bytes before it belong to no tensor`,
        name,
      );
    at = end;
  }
  if (at !== dataBytes) throw safetensorsError("LAP_SAFETENSORS_HEADER", file, `${dataBytes - at} bytes at the end belong to no tensor`);
}
