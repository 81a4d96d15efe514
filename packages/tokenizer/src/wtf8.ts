/**
 * UTF-8, with an encoding for lone surrogates (WTF-8): every JavaScript string has an encoding, and
 * decoding restores the same string.
 */

/** The bytes of one code point; a surrogate has the three bytes of its code point. */
export function bytesOfCodePoint(codePoint: number): readonly number[] {
  if (codePoint < 0x80) return [codePoint];
  const tail = (shift: number): number => 0x80 | ((codePoint >> shift) & 0x3f);
  if (codePoint < 0x800) return [0xc0 | (codePoint >> 6), tail(0)];
  if (codePoint < 0x10000) return [0xe0 | (codePoint >> 12), tail(6), tail(0)];
  return [0xf0 | (codePoint >> 18), tail(12), tail(6), tail(0)];
}

const replacement = "\ufffd";

/** Decodes bytes one at a time: the empty string until a character is complete, U+FFFD for invalid bytes. */
export class ByteDecoder {
  #codePoint = 0;
  #missing = 0;
  #lowest = 0x80;
  #highest = 0xbf;

  /** The text that this byte completes, often empty. */
  push(byte: number): string {
    if (this.#missing === 0) return this.#start(byte);
    if (byte < this.#lowest || byte > this.#highest) return this.end() + this.#start(byte);
    this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f);
    this.#expect(this.#missing - 1);
    return this.#missing === 0 ? String.fromCodePoint(this.#codePoint) : "";
  }

  /** The remaining text after the last byte: U+FFFD for an incomplete character. */
  end(): string {
    if (this.#missing === 0) return "";
    this.#expect(0);
    return replacement;
  }

  #start(byte: number): string {
    if (byte < 0x80) return String.fromCharCode(byte);
    if (byte < 0xc2 || byte > 0xf4) return replacement;
    const missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.#codePoint = byte & (0x3f >> missing);
    // Overlong forms and code points above U+10FFFF are invalid; surrogates are allowed.
    this.#expect(missing, byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80, byte === 0xf4 ? 0x8f : 0xbf);
    return "";
  }

  #expect(missing: number, lowest = 0x80, highest = 0xbf): void {
    [this.#missing, this.#lowest, this.#highest] = [missing, lowest, highest];
  }
}
