import { compareRecords, copyRecord, type RecordStream } from "./record.js";

/**
 * The records of sorted streams in one order. Equal records come in the order of the streams.
 *
 * Each inner node of a binary heap holds the stream with the least record below it. Memory: the buffers of the streams.
 */
export function mergeRecords(streams: readonly RecordStream[], width: number): RecordStream {
  const heap = streams.map((stream, number) => ({ stream, number }));
  const isBefore = (a: (typeof heap)[number], b: (typeof heap)[number]): boolean => {
    const difference = compareRecords(a.stream.bytes, a.stream.at, b.stream.bytes, b.stream.at, width);
    return difference < 0 || (difference === 0 && a.number < b.number);
  };
  const siftDown = (start: number): void => {
    const moved = heap[start];
    if (moved === undefined) return;
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child++;
      }
      if (!isBefore(least, moved)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = moved;
  };
  const removeFirst = (): void => {
    const last = heap.pop();
    if (heap.length > 0 && last !== undefined) heap[0] = last;
  };
  const bytes = new Uint8Array(width);
  let isStarted = false;
  return {
    width,
    bytes,
    at: 0,
    next() {
      if (!isStarted) {
        isStarted = true;
        for (let i = heap.length - 1; i >= 0; i--) if (heap[i]?.stream.next() === false) heap.splice(i, 1);
        for (let i = heap.length >>> 1; i >= 0; i--) siftDown(i);
      } else {
        if (heap[0]?.stream.next() === false) removeFirst();
        siftDown(0);
      }
      const first = heap[0]?.stream;
      if (first === undefined) return false;
      copyRecord(first.bytes, first.at, bytes, 0, width);
      return true;
    },
    close() {
      for (const stream of streams) stream.close();
    },
  };
}
