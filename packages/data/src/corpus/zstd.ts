import * as zlib from "node:zlib";

type Decompress = (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer;

/** Node's own, which it has from version 22.15 on. */
export const zstdDecompressSync: Decompress | undefined = Object.getOwnPropertyDescriptor(zlib, "zstdDecompressSync")?.value as
  | Decompress
  | undefined;
