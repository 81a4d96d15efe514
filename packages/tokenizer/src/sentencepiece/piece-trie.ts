/** No edge, no piece. */
const none = -1;

/**
 * Texts by their UTF-16 units, in two typed arrays: a hash table of edges (open addressing) and the id at each node. A vocabulary of 256,000
 * pieces has about a million nodes.
 */
export class PieceTrie {
  #mask: number;
  /** `node << 16 | unit` of each slot as two numbers; −1 is an empty slot. */
  #from: Int32Array;
  #unit: Uint16Array;
  #to: Int32Array;
  /** The id that ends at each node. */
  #ids: Int32Array;
  #nodes = 1;
  /** Whether any text starts with the unit. */
  readonly starts = new Uint8Array(0x10000);

  /** @param nodes an estimate, so that the table seldom grows */
  constructor(nodes = 512) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(512, nodes) * 2));
    this.#mask = size - 1;
    [this.#from, this.#unit, this.#to] = [new Int32Array(size).fill(none), new Uint16Array(size), new Int32Array(size)];
    this.#ids = new Int32Array(size).fill(none);
  }

  add(text: string, id: number): void {
    let node = 0;
    for (let i = 0; i < text.length; i++) node = this.#child(node, text.charCodeAt(i));
    this.#ids[node] = id;
    this.starts[text.charCodeAt(0)] = 1;
  }

  /** The node after one more unit; −1 if no text continues so. The root is 0. */
  next(node: number, unit: number): number {
    const slot = this.#slotOf(node, unit);
    return this.#from[slot] === none ? none : (this.#to[slot] ?? none);
  }

  /** The id of the text that ends at a node; −1 if none ends there. */
  idAt(node: number): number {
    return this.#ids[node] ?? none;
  }

  /** The end of the longest piece at `start` of a text of `length` units; `start` if none is there. */
  longestEnd(start: number, length: number, unitAt: (at: number) => number): number {
    let end = start;
    for (let at = start, node = 0; at < length; ) {
      node = this.next(node, unitAt(at++));
      if (node < 0) break;
      if (this.idAt(node) >= 0) end = at;
    }
    return end;
  }

  #child(node: number, unit: number): number {
    let slot = this.#slotOf(node, unit);
    if (this.#from[slot] !== none) return this.#to[slot] ?? none;
    if (this.#nodes * 2 > this.#mask) {
      this.#grow();
      slot = this.#slotOf(node, unit);
    }
    const child = this.#nodes++;
    [this.#from[slot], this.#unit[slot], this.#to[slot]] = [node, unit, child];
    return child;
  }

  #slotOf(node: number, unit: number): number {
    let slot = Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b);
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (this.#from[slot] !== none && (this.#from[slot] !== node || this.#unit[slot] !== unit)) slot = (slot + 1) & this.#mask;
    return slot;
  }

  #grow(): void {
    const [from, unit, to, ids] = [this.#from, this.#unit, this.#to, this.#ids];
    const size = from.length * 2;
    this.#mask = size - 1;
    [this.#from, this.#unit, this.#to] = [new Int32Array(size).fill(none), new Uint16Array(size), new Int32Array(size)];
    this.#ids = new Int32Array(size).fill(none);
    this.#ids.set(ids);
    for (let i = 0; i < from.length; i++) {
      const node = from[i] ?? none;
      if (node === none) continue;
      const slot = this.#slotOf(node, unit[i] ?? 0);
      [this.#from[slot], this.#unit[slot], this.#to[slot]] = [node, unit[i] ?? 0, to[i] ?? none];
    }
  }
}
