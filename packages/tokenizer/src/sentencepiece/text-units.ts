const blank = 0x20;

/** The UTF-16 units of one text at a time, in an array that is reused. An array is read several times faster than a string. */
export class TextUnits {
  /** The units of the text, and after them those of longer texts before. */
  units = new Uint16Array(0);
  length = 0;

  /** Replaces the text. @param space the unit that is written for each space */
  read(text: string, space = blank): this {
    const { length } = text;
    if (this.units.length < length) this.units = new Uint16Array(Math.max(2 * this.units.length, length));
    const { units } = this;
    Buffer.from(units.buffer).write(text, "utf16le");
    if (space !== blank) for (let i = 0; i < length; i++) if (units[i] === blank) units[i] = space;
    this.length = length;
    return this;
  }

  slice(start: number, end: number): string {
    return String.fromCharCode(...this.units.subarray(start, end));
  }
}

/** As `String.codePointAt`. Units from `end` on are not of the text. */
export function codePointAt(units: Uint16Array, at: number, end: number): number {
  const high = units[at] ?? 0;
  if ((high & 0xfc00) !== 0xd800 || at + 1 >= end) return high;
  const low = units[at + 1] ?? 0;
  return (low & 0xfc00) === 0xdc00 ? ((high - 0xd800) << 10) + (low - 0xdc00) + 0x10000 : high;
}
