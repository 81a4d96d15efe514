import { ensure } from "@lapidary/std";
import { bytesOfCodePoint } from "../wtf8.js";

/**
 * The alphabet of byte-level tokenizers (GPT-2): a visible character for each byte. Printable bytes of Latin-1 represent themselves. The
 * others have the code points from 256 on, in order: a space is `Ġ`, a line feed `Ċ`.
 */
export class ByteLevelAlphabet {
  readonly #characters: readonly string[];
  readonly #bytes: ReadonlyMap<string, number>;

  constructor() {
    let next = 0x100;
    this.#characters = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
    this.#bytes = new Map(this.#characters.map((character, byte) => [character, byte]));
  }

  /** A character for each byte of the text in UTF-8. */
  encode(text: string): string {
    let written = "";
    for (const character of text) {
      const codePoint = character.codePointAt(0) ?? 0;
      if (codePoint < 0x80) written += ensure(this.#characters[codePoint], "byte");
      else for (const byte of bytesOfCodePoint(codePoint)) written += ensure(this.#characters[byte], "byte");
    }
    return written;
  }

  /** The bytes that the characters of a token represent. If a character represents none, the UTF-8 of the token. */
  bytesOf(token: string): Uint8Array {
    const bytes: number[] = [];
    for (const character of token) {
      const byte = this.#bytes.get(character);
      if (byte === undefined) return Buffer.from(token, "utf8");
      bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  }
}

const isPrintable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
