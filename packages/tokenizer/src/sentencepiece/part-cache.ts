/** Maximum number of cached parts, of their UTF-16 units and of their symbols. A full cache is cleared. It then has 12 MB. */
export const maxParts = 1 << 17;
const [maxUnits, maxSymbols] = [1 << 20, 1 << 20];
const slotCount = maxParts * 2;

/**
 * The symbols of parts of texts. A part is named by its position in a text and a hash, so that no string is made of it. An open-addressing
 * table; texts and symbols of the parts are in two arrays, one part after the other.
 */
export class PartCache {
  /** The number of each part plus one; 0 for an empty slot. */
  readonly #slots = new Int32Array(slotCount);
  readonly #hashes = new Int32Array(maxParts);
  /** Where units and symbols of each part end. Those of the part before it end where they start. */
  readonly #unitEnds = new Int32Array(maxParts + 1);
  readonly #symbolEnds = new Int32Array(maxParts + 1);
  readonly #units = new Uint16Array(maxUnits);
  /** The symbols of all parts, one part after the other. */
  readonly symbols = new Int32Array(maxSymbols);
  #count = 0;

  /** The number of the part at `start` to `end` of `text`; −1 if it is not cached. */
  find(text: string, start: number, end: number, hash: number): number {
    for (let slot = slotOf(hash); ; slot = (slot + 1) & (slotCount - 1)) {
      const part = (this.#slots[slot] ?? 0) - 1;
      if (part < 0) return -1;
      if (this.#hashes[part] === hash && this.#isAt(part, text, start, end)) return part;
    }
  }

  firstSymbol(part: number): number {
    return this.#symbolEnds[part] ?? 0;
  }

  endSymbol(part: number): number {
    return this.#symbolEnds[part + 1] ?? 0;
  }

  /** Adds a part that is not cached, of at most 2²⁰ units and symbols. Returns its number. */
  add(text: string, start: number, end: number, hash: number, symbols: Int32Array): number {
    let [unitEnd, symbolEnd] = [this.#unitEnds[this.#count] ?? 0, this.#symbolEnds[this.#count] ?? 0];
    if (this.#count === maxParts || unitEnd + end - start > maxUnits || symbolEnd + symbols.length > maxSymbols) {
      this.#slots.fill(0);
      this.#count = unitEnd = symbolEnd = 0;
    }
    const part = this.#count++;
    for (let i = start; i < end; i++) this.#units[unitEnd++] = text.charCodeAt(i);
    this.symbols.set(symbols, symbolEnd);
    this.#hashes[part] = hash;
    this.#unitEnds[part + 1] = unitEnd;
    this.#symbolEnds[part + 1] = symbolEnd + symbols.length;
    let slot = slotOf(hash);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (slotCount - 1);
    this.#slots[slot] = part + 1;
    return part;
  }

  #isAt(part: number, text: string, start: number, end: number): boolean {
    const from = this.#unitEnds[part] ?? 0;
    if ((this.#unitEnds[part + 1] ?? 0) - from !== end - start) return false;
    for (let i = start, at = from; i < end; i++, at++) if (this.#units[at] !== text.charCodeAt(i)) return false;
    return true;
  }
}

const slotOf = (hash: number): number => (hash ^ (hash >>> 13)) & (slotCount - 1);
