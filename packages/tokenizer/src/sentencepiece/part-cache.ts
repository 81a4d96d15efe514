/** Maximum number of cached parts, and of the numbers that they have together. A full cache is cleared. It then has 9 MB. */
const maxParts = 1 << 17;
const maxNumbers = 1 << 21;
const slotCount = maxParts * 2;
/** Numbers of a record before its values. */
const headNumbers = 2;

/**
 * Values of parts of texts, such as their symbols. A part is named by its position in a text and a hash, so that no string is made of it.
 *
 * An open-addressing table of records. All of a record is in one place, so that a search reads one or two cache lines:
 *
 *     hash │ units and values as 16 bits each │ value … │ unit unit │ unit …
 */
export class PartCache {
  /** The place of each record plus one; 0 for an empty slot. */
  readonly #slots = new Int32Array(slotCount);
  /** The records. */
  readonly numbers = new Int32Array(maxNumbers);
  /** The same as floats. */
  readonly floats = new Float32Array(this.numbers.buffer);
  readonly #units = new Uint16Array(this.numbers.buffer);
  #parts = 0;
  #end = 0;

  /** The place of the first value of the part at `start` to `end` of a text; −1 if the part is not cached. */
  find(text: Uint16Array, start: number, end: number, hash: number): number {
    const [slots, numbers] = [this.#slots, this.numbers];
    for (let slot = slotOf(hash); ; slot = (slot + 1) & (slotCount - 1)) {
      const record = (slots[slot] ?? 0) - 1;
      if (record < 0) return -1;
      if (numbers[record] === hash && this.#isAt(record, text, start, end)) return record + headNumbers;
    }
  }

  /** The place after the last value of a part. */
  endOf(values: number): number {
    return values + ((this.numbers[values - 1] ?? 0) >>> 16);
  }

  /** Adds a part that is not cached, of at most 2¹⁵ units and values. Returns the place of its first value. */
  add(text: Uint16Array, start: number, end: number, hash: number, values: Int32Array): number {
    const length = end - start;
    const size = headNumbers + values.length + ((length + 1) >> 1);
    if (this.#parts === maxParts || this.#end + size > maxNumbers) {
      this.#slots.fill(0);
      this.#parts = this.#end = 0;
    }
    const record = this.#end;
    this.numbers[record] = hash;
    this.numbers[record + 1] = length | (values.length << 16);
    this.numbers.set(values, record + headNumbers);
    let to = 2 * (record + headNumbers + values.length);
    for (let i = start; i < end; i++) this.#units[to++] = text[i] ?? 0;
    let slot = slotOf(hash);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (slotCount - 1);
    this.#slots[slot] = record + 1;
    this.#parts++;
    this.#end += size;
    return record + headNumbers;
  }

  #isAt(record: number, text: Uint16Array, start: number, end: number): boolean {
    const head = this.numbers[record + 1] ?? 0;
    if ((head & 0xffff) !== end - start) return false;
    const units = this.#units;
    let at = 2 * (record + headNumbers + (head >>> 16));
    for (let i = start; i < end; i++, at++) if (units[at] !== text[i]) return false;
    return true;
  }
}

const slotOf = (hash: number): number => (hash ^ (hash >>> 13)) & (slotCount - 1);
