import * as zlib from "node:zlib";
import { corpusTooLarge, damagedFile } from "../data-errors.js";

/** A file as it is read: its bytes, and its name without the ending of a compression. */
export interface Unpacked {
  readonly bytes: Buffer;
  readonly name: string;
}

type Decompress = (bytes: Uint8Array, options: { maxOutputLength: number; finishFlush?: number }) => Buffer;

export const isGzip = (head: Uint8Array): boolean => head[0] === 0x1f && head[1] === 0x8b;
const isZstd = (head: Uint8Array): boolean => head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;

/**
 * The bytes of a gzip file (of zstd too, from Node 22.15 on) as if it were unpacked; other bytes as they are.
 *
 * @param limitBytes the unpacked bytes may not be more: a small file can unpack to any size
 * @throws LapidaryError `LAP_DATA_DAMAGED`, `LAP_DATA_TOO_LARGE`
 */
export function unpacked(bytes: Buffer, path: string, limitBytes: number): Unpacked {
  const decompress = decompressor(bytes);
  if (decompress === undefined) {
    if (/\.t?gz$/i.test(path) && bytes.length > 0)
      throw damagedFile(path, "its name ends like that of a gzip file, but its bytes are no gzip");
    return { bytes, name: path };
  }
  try {
    return { bytes: decompress(bytes, { maxOutputLength: limitBytes }), name: path.replace(/\.(gz|gzip|zst|zstd)$/i, "") };
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE")
      throw corpusTooLarge(path, undefined, limitBytes);
    throw damagedFile(path, `it cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

/** What can be unpacked of the first bytes of a file; damage is found when the whole file is read. */
export function unpackedHead(head: Buffer, path: string): Unpacked {
  if (!isGzip(head)) return decompressor(head) === undefined ? unpacked(head, path, Infinity) : { bytes: Buffer.alloc(0), name: path };
  try {
    return {
      bytes: zlib.gunzipSync(head, { finishFlush: zlib.constants.Z_SYNC_FLUSH, maxOutputLength: 1 << 27 }),
      name: path.replace(/\.(gz|gzip)$/i, ""),
    };
  } catch (cause) {
    throw damagedFile(path, `it cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function decompressor(head: Uint8Array): Decompress | undefined {
  if (isGzip(head)) return zlib.gunzipSync;
  if (!isZstd(head)) return undefined;
  const zstd: unknown = Reflect.get(zlib, "zstdDecompressSync");
  return typeof zstd === "function" ? (zstd as Decompress) : undefined;
}
