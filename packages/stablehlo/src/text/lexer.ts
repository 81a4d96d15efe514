import { ImportTextError, type Position } from "./import-error.js";

export type TokenKind =
  | "value"
  | "symbol"
  | "block"
  | "hash"
  | "exclamation"
  | "word"
  | "integer"
  | "float"
  | "string"
  | "punctuation"
  | "end";

export interface Token extends Position {
  readonly kind: TokenKind;
  /** Without the sigil (`%`, `@`, `^`, `#`, `!`); strings without quotes and escapes. */
  readonly text: string;
  /** Offset of the first character. */
  readonly start: number;
  /** Offset after the last character. */
  readonly end: number;
}

const sigils: Readonly<Record<string, TokenKind>> = { "%": "value", "@": "symbol", "^": "block", "#": "hash", "!": "exclamation" };
const suffix = /[\w$.-]+/y;
const word = /[A-Za-z_][\w$.]*/y;
const float = /\d+\.\d*(?:[eE][+-]?\d+)?/y;
const integer = /0x[0-9a-fA-F]+|\d+/y;
const plainString = /[^"\\\n]*/y;

/**
 * Reads the tokens of MLIR text, one at a time. Every character is read a constant number of times, so that the time is linear
 * in the size of the text.
 */
export class Lexer {
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(
    readonly text: string,
    readonly file: string,
  ) {}

  next(): Token {
    this.#skipBlanks();
    const start = this.#at;
    const position = { line: this.#line, column: start - this.#lineStart + 1, start };
    const make = (kind: TokenKind, text: string): Token => ({ kind, text, ...position, end: this.#at });
    const first = this.text[start];
    if (first === undefined) return make("end", "");
    if (first === '"') return make("string", this.#string(position));
    const sigil = sigils[first];
    if (sigil !== undefined) {
      this.#at++;
      if (first === "@" && this.text[this.#at] === '"') return make(sigil, this.#string(position));
      const name = this.#match(suffix);
      if (name === undefined) throw new ImportTextError(this.file, position, `expected a name after "${first}"`);
      return make(sigil, name);
    }
    const name = this.#match(word);
    if (name !== undefined) return make("word", name);
    const real = this.#match(float);
    if (real !== undefined) return make("float", real);
    const whole = this.#match(integer);
    if (whole !== undefined) return make("integer", whole);
    this.#at += this.text.startsWith("->", start) || this.text.startsWith("::", start) ? 2 : 1;
    const mark = this.text.slice(start, this.#at);
    if (!/^(?:->|::|[(){}[\]<>,:=?*+\-/|.])$/.test(mark))
      throw new ImportTextError(this.file, position, `unexpected character ${JSON.stringify(mark)}`);
    return make("punctuation", mark);
  }

  /**
   * The text from here to the bracket that closes `from`, as it is written. The last token that was read is `from`, an opening
   * bracket. The next token is the one after the closing bracket.
   */
  balanced(from: Token, close: ">" | ")" | "]" | "}"): string {
    const begin = this.#at;
    const open: string[] = [close];
    for (;;) {
      const c = this.text[this.#at];
      if (c === undefined) throw new ImportTextError(this.file, from, `the text ends before the "${close}" that closes this`);
      if (c === '"') {
        this.#string(from);
        continue;
      }
      this.#at++;
      if (c === "\n") {
        this.#line++;
        this.#lineStart = this.#at;
      } else if (c === "-" && this.text[this.#at] === ">") this.#at++;
      else if (c === "<") open.push(">");
      else if (c === "(") open.push(")");
      else if (c === "[") open.push("]");
      else if (c === "{") open.push("}");
      else if (c === ">" || c === ")" || c === "]" || c === "}") {
        if (open.pop() !== c) throw new ImportTextError(this.file, from, `brackets do not match: unexpected "${c}"`);
        if (open.length === 0) return this.text.slice(begin, this.#at - 1).trim();
      }
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #skipBlanks(): void {
    for (;;) {
      const c = this.text[this.#at];
      if (c === "\n") {
        this.#at++;
        this.#line++;
        this.#lineStart = this.#at;
      } else if (c === " " || c === "\t" || c === "\r") this.#at++;
      else if (c === "/" && this.text[this.#at + 1] === "/") {
        const end = this.text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.text.length : end;
      } else return;
    }
  }

  /** A string with its escapes replaced: `\"`, `\\`, `\n`, `\t`, and two hexadecimal digits of a byte of UTF-8. */
  #string(position: Position): string {
    this.#at++;
    const parts: string[] = [];
    let bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length > 0) parts.push(Buffer.from(bytes).toString("utf8"));
      bytes = [];
    };
    for (;;) {
      const plain = this.#match(plainString) ?? "";
      if (plain.length > 0) {
        flush();
        parts.push(plain);
      }
      const c = this.text[this.#at++];
      if (c === '"') {
        flush();
        return parts.join("");
      }
      if (c !== "\\") throw new ImportTextError(this.file, position, "the string does not end on its line");
      const escaped = this.text[this.#at] ?? "";
      const hex = /^[0-9a-fA-F]{2}$/.exec(this.text.slice(this.#at, this.#at + 2))?.[0];
      if (hex !== undefined) {
        bytes.push(Number.parseInt(hex, 16));
        this.#at += 2;
        continue;
      }
      flush();
      const meaning = { '"': '"', "\\": "\\", n: "\n", t: "\t" }[escaped];
      if (meaning === undefined) throw new ImportTextError(this.file, position, `unknown escape "\\${escaped}" in a string`);
      parts.push(meaning);
      this.#at++;
    }
  }
}
