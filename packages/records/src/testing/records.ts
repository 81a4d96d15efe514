import { numberAt, type RecordStream } from "../record.js";

/** A stream of records in memory. */
export function streamOf(records: readonly (readonly number[])[], width: number): RecordStream {
  const bytes = Uint8Array.from(records.flat());
  const stream = {
    width,
    bytes,
    at: -width,
    next(): boolean {
      stream.at += width;
      return stream.at < bytes.length;
    },
    close: () => undefined,
  };
  return stream;
}

export function recordsOf(stream: RecordStream): number[][] {
  const records: number[][] = [];
  while (stream.next()) records.push([...stream.bytes.subarray(stream.at, stream.at + stream.width)]);
  return records;
}

/** A number in 6 bytes. */
export const node = (number: number): number[] =>
  [24, 16, 8, 0].reduce<number[]>((bytes, shift) => [...bytes, (number >>> shift) & 255], [0, 0]);

/** Pairs of numbers of 6 bytes. */
export function pairsOf(stream: RecordStream): [number, number][] {
  const pairs: [number, number][] = [];
  while (stream.next()) pairs.push([numberAt(stream.bytes, stream.at, 6), numberAt(stream.bytes, stream.at + 6, 6)]);
  return pairs;
}
