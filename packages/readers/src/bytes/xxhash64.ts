/**
 * XXH64 of a stream of bytes with seed 0, as zstd frames store it (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
 *
 * A number of 64 bits is two numbers of 32 bits, low half first, because BigInt is twenty times slower.
 */
type Word = readonly [low: number, high: number];

const [prime1, prime2, prime3, prime4, prime5]: readonly [Word, Word, Word, Word, Word] = [
  [0x85ebca87, 0x9e3779b1],
  [0x27d4eb4f, 0xc2b2ae3d],
  [0x9e3779f9, 0x165667b1],
  [0xc2b2ae63, 0x85ebca77],
  [0x165667c5, 0x27d4eb2f],
];

const stripeBytes = 32;

export class XxHash64 {
  /** Four accumulators, each low half and high half. */
  readonly #lanes = new Uint32Array([
    ...add(prime1, prime2),
    ...prime2,
    ...[0, 0],
    // 0 − prime1, modulo 2⁶⁴.
    ...add([~prime1[0] >>> 0, ~prime1[1] >>> 0], [1, 0]),
  ]);
  readonly #rest = new Uint8Array(stripeBytes);
  #bytes = 0;

  update(chunk: Uint8Array): void {
    let at = 0;
    const buffered = this.#bytes % stripeBytes;
    this.#bytes += chunk.length;
    if (buffered > 0) {
      at = Math.min(chunk.length, stripeBytes - buffered);
      this.#rest.set(chunk.subarray(0, at), buffered);
      if (buffered + at < stripeBytes) return;
      this.#stripes(this.#rest, 0, stripeBytes);
    }
    const end = chunk.length - ((chunk.length - at) % stripeBytes);
    this.#stripes(chunk, at, end);
    this.#rest.set(chunk.subarray(end));
  }

  /** The low 32 bits of the hash. */
  digest32(): number {
    const lanes = [0, 1, 2, 3].map((lane): Word => [this.#lanes[2 * lane] ?? 0, this.#lanes[2 * lane + 1] ?? 0]);
    let hash: Word = prime5;
    if (this.#bytes >= stripeBytes) {
      hash = lanes.map((lane, i) => rotate(lane, [1, 7, 12, 18][i] ?? 0)).reduce(add);
      for (const lane of lanes) hash = add(multiply(xor(hash, round([0, 0], lane)), prime1), prime4);
    }
    hash = add(hash, [this.#bytes >>> 0, Math.floor(this.#bytes / 2 ** 32)]);
    const rest = this.#rest.subarray(0, this.#bytes % stripeBytes);
    const word = (at: number): number => Buffer.from(rest.buffer, rest.byteOffset, rest.length).readUInt32LE(at);
    let at = 0;
    for (; at + 8 <= rest.length; at += 8)
      hash = add(multiply(rotate(xor(hash, round([0, 0], [word(at), word(at + 4)])), 27), prime1), prime4);
    if (at + 4 <= rest.length) {
      hash = add(multiply(rotate(xor(hash, multiply([word(at), 0], prime1)), 23), prime2), prime3);
      at += 4;
    }
    for (; at < rest.length; at++) hash = multiply(rotate(xor(hash, multiply([rest[at] ?? 0, 0], prime5)), 11), prime1);
    hash = multiply(xor(hash, shiftRight(hash, 33)), prime2);
    hash = multiply(xor(hash, shiftRight(hash, 29)), prime3);
    return xor(hash, shiftRight(hash, 32))[0];
  }

  /** Whole stripes of four words: `lane = rotate(lane + word × prime2, 31) × prime1`, without an object for each number. */
  #stripes(bytes: Uint8Array, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const lanes = this.#lanes;
    const [p1Low, p1High] = prime1;
    const [p2Low, p2High] = prime2;
    for (let at = start; at < end; at += 8) {
      const lane = ((at - start) % stripeBytes) >>> 2;
      const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      const added = (lanes[lane] ?? 0) + (Math.imul(low, p2Low) >>> 0);
      const addedHigh = ((lanes[lane + 1] ?? 0) + highProduct(low, high, p2Low, p2High) + (added > 0xffffffff ? 1 : 0)) >>> 0;
      const addedLow = added >>> 0;
      const turnedLow = ((addedLow << 31) | (addedHigh >>> 1)) >>> 0;
      const turnedHigh = ((addedHigh << 31) | (addedLow >>> 1)) >>> 0;
      lanes[lane] = Math.imul(turnedLow, p1Low);
      lanes[lane + 1] = highProduct(turnedLow, turnedHigh, p1Low, p1High);
    }
  }
}

/** The upper half of a product modulo 2⁶⁴; the lower half is `Math.imul` of the lower halves. */
function highProduct(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  const [a0, a1, b0, b1] = [aLow & 0xffff, aLow >>> 16, bLow & 0xffff, bLow >>> 16];
  const [low, cross, other] = [a0 * b0, a1 * b0, a0 * b1];
  const middle = (low >>> 16) + (cross & 0xffff) + (other & 0xffff);
  const carried = a1 * b1 + (cross >>> 16) + (other >>> 16) + (middle >>> 16);
  return (carried + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) >>> 0;
}

function add([aLow, aHigh]: Word, [bLow, bHigh]: Word): Word {
  const low = aLow + bLow;
  return [low >>> 0, (aHigh + bHigh + (low > 0xffffffff ? 1 : 0)) >>> 0];
}

const multiply = ([aLow, aHigh]: Word, [bLow, bHigh]: Word): Word => [Math.imul(aLow, bLow) >>> 0, highProduct(aLow, aHigh, bLow, bHigh)];

const xor = ([aLow, aHigh]: Word, [bLow, bHigh]: Word): Word => [(aLow ^ bLow) >>> 0, (aHigh ^ bHigh) >>> 0];

/** @param by 1 to 31 */
const rotate = ([low, high]: Word, by: number): Word => [
  ((low << by) | (high >>> (32 - by))) >>> 0,
  ((high << by) | (low >>> (32 - by))) >>> 0,
];

/** @param by 1 to 63 */
const shiftRight = ([low, high]: Word, by: number): Word =>
  by >= 32 ? [high >>> (by - 32), 0] : [((low >>> by) | (high << (32 - by))) >>> 0, high >>> by];

const round = (lane: Word, word: Word): Word => multiply(rotate(add(lane, multiply(word, prime2)), 31), prime1);
