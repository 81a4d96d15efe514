/** A place of a text that every equal text chooses too. */
export interface WindowAnchor {
  /** The first byte. */
  readonly start: number;
  /** 64 bits of hash of the bytes from `start`, as two numbers of 32 bits. */
  readonly high: number;
  readonly low: number;
}

/** Multipliers of two rolling hashes modulo 2³²; odd. */
const bases = [0x01000193, 0x2c1b3c6d] as const;

/**
 * Winnowing (Schleimer et al. 2003): of each window of `size` bytes the run of half as many bytes with the least hash, the first of equal ones. Two equal
 * windows choose the same run, so windows that occur twice are found by the anchors that occur twice. A text has about 4 anchors for each `size` bytes.
 */
export function* windowAnchors(bytes: Uint8Array, size: number): Generator<WindowAnchor> {
  const runBytes = Math.ceil(size / 2);
  const runs = size - runBytes + 1;
  // The runs of the window, by increasing place and increasing hash. The first is the anchor.
  const queue: { readonly start: number; readonly high: number; readonly low: number }[] = [];
  let [first, last] = [0, -1];
  for (const run of rollingHashes(bytes, runBytes)) {
    if (run.start >= runs && queue[first]?.start === run.start - runs) first++;
    while (queue.length > first && (queue.at(-1)?.high ?? 0) > run.high) queue.pop();
    queue.push(run);
    const anchor = queue[first];
    if (run.start >= runs - 1 && anchor !== undefined && anchor.start !== last) {
      last = anchor.start;
      yield anchor;
    }
    if (first > 4 * runs) first -= queue.splice(0, first).length;
  }
}

/**
 * The starts of the windows of `size` bytes that hold an anchor, each once, in order.
 *
 * @param anchors starts of anchors, in order
 */
export function* windowsAround(anchors: Iterable<number>, length: number, size: number): Generator<number> {
  const runBytes = Math.ceil(size / 2);
  let next = 0;
  for (const anchor of anchors)
    for (next = Math.max(next, anchor + runBytes - size); next <= Math.min(anchor, length - size); next++) yield next;
}

function* rollingHashes(bytes: Uint8Array, size: number): Generator<WindowAnchor> {
  const [a, b] = bases;
  let [hashA, hashB, powerA, powerB] = [0, 0, 1, 1];
  for (let i = 0; i < size; i++) [powerA, powerB] = [Math.imul(powerA, a), Math.imul(powerB, b)];
  for (let end = 1; end <= bytes.length; end++) {
    const entering = (bytes[end - 1] ?? 0) + 1;
    const leaving = end > size ? (bytes[end - 1 - size] ?? 0) + 1 : 0;
    hashA = (Math.imul(hashA, a) + entering - Math.imul(powerA, leaving)) | 0;
    hashB = (Math.imul(hashB, b) + entering - Math.imul(powerB, leaving)) | 0;
    if (end >= size) yield { start: end - size, high: mixed(hashA), low: hashB >>> 0 };
  }
}

/** The order of rolling hashes follows that of the last bytes; that of mixed ones does not. */
function mixed(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
