/**
 * A record is a fixed number of bytes. Records are compared byte by byte, and numbers in them are big-endian, so that the order of the bytes is the order
 * of the numbers.
 */

/** Records in the order of a file. After `next` returned true, the record is at `bytes[at]`, until the next call. */
export interface RecordStream {
  readonly width: number;
  readonly bytes: Uint8Array;
  readonly at: number;
  /** Goes to the next record. False at the end. */
  next(): boolean;
  /** Ends the reading early. */
  close(): void;
}

/** Negative if the first record is smaller, positive if it is larger. */
export function compareRecords(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, width: number): number {
  for (let i = 0; i < width; i++) {
    const difference = (a[aAt + i] ?? 0) - (b[bAt + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Writes a whole number of `size` bytes, at most 6. */
export function putNumber(bytes: Uint8Array, at: number, size: number, value: number): void {
  let rest = value;
  for (let i = at + size - 1; i >= at; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** Reads a whole number of `size` bytes, at most 6. */
export function numberAt(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = at; i < at + size; i++) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

/** Copies `width` bytes. Faster than `set` of a subarray for a few bytes. */
export function copyRecord(from: Uint8Array, at: number, to: Uint8Array, toAt: number, width: number): void {
  for (let i = 0; i < width; i++) to[toAt + i] = from[at + i] ?? 0;
}

/** With fewer records, the counts of 65,536 digits would take longer than a second pass. */
const minRecordsOfWideDigits = 10_000;

/** Sorted records in one buffer: a stable radix sort by digits of one or two bytes, from the last one. */
export function sortRecords(bytes: Uint8Array, width: number): Uint8Array {
  const count = bytes.length / width;
  const digitBytes = count < minRecordsOfWideDigits ? 1 : 2;
  let [order, next] = [Uint32Array.from({ length: count }, (_, i) => i), new Uint32Array(count)];
  const starts = new Uint32Array(256 ** digitBytes + 1);
  for (let end = width; end > 0; end -= digitBytes) {
    const digit = (record: number): number => {
      const at = record * width + end;
      return digitBytes === 1 || end === 1 ? (bytes[at - 1] ?? 0) : ((bytes[at - 2] ?? 0) << 8) | (bytes[at - 1] ?? 0);
    };
    starts.fill(0);
    for (let i = 0; i < count; i++) starts[digit(i) + 1] = (starts[digit(i) + 1] ?? 0) + 1;
    if (starts[digit(0) + 1] === count) continue;
    for (let i = 1; i < starts.length; i++) starts[i] = (starts[i] ?? 0) + (starts[i - 1] ?? 0);
    for (let i = 0; i < count; i++) {
      const record = order[i] ?? 0;
      const to = starts[digit(record)] ?? 0;
      starts[digit(record)] = to + 1;
      next[to] = record;
    }
    [order, next] = [next, order];
  }
  const sorted = new Uint8Array(bytes.length);
  for (let i = 0; i < count; i++) copyRecord(bytes, (order[i] ?? 0) * width, sorted, i * width, width);
  return sorted;
}
