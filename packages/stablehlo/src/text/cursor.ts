import { ImportTextError } from "./import-error.js";
import { Lexer, type Token, type TokenKind } from "./lexer.js";

/** Nested types, attributes and regions deeper than this are refused. JAX nests some ten levels. */
const maxDepth = 256;

/** Reads tokens with one token of lookahead, and counts how deeply constructs are nested. */
export class Cursor {
  readonly #lexer: Lexer;
  #token: Token;
  #depth = 0;

  constructor(
    text: string,
    readonly file: string,
  ) {
    this.#lexer = new Lexer(text, file);
    this.#token = this.#lexer.next();
  }

  /** The next token, which stays. */
  get token(): Token {
    return this.#token;
  }

  take(): Token {
    const taken = this.#token;
    this.#token = this.#lexer.next();
    return taken;
  }

  is(text: string, kind: TokenKind = "punctuation"): boolean {
    return this.#token.kind === kind && this.#token.text === text;
  }

  isWord(text: string): boolean {
    return this.is(text, "word");
  }

  /** Takes the token if it is the given one. */
  accept(text: string, kind: TokenKind = "punctuation"): boolean {
    if (!this.is(text, kind)) return false;
    this.take();
    return true;
  }

  acceptWord(text: string): boolean {
    return this.accept(text, "word");
  }

  expect(text: string, kind: TokenKind = "punctuation"): Token {
    if (!this.is(text, kind)) throw this.unexpected(`"${text}"`);
    return this.take();
  }

  expectWord(text: string): Token {
    return this.expect(text, "word");
  }

  expectKind(kind: TokenKind, what: string): Token {
    if (this.#token.kind !== kind) throw this.unexpected(what);
    return this.take();
  }

  /** Takes `<` (or another bracket) and returns the text up to its closing bracket as it is written. */
  takeBalanced(open: "<" | "(" | "[" | "{", close: ">" | ")" | "]" | "}"): string {
    if (!this.is(open)) throw this.unexpected(`"${open}"`);
    const body = this.#lexer.balanced(this.#token, close);
    this.#token = this.#lexer.next();
    return body;
  }

  /** The items of a list up to `close`, which is taken. */
  list<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    if (this.accept(close)) return items;
    do items.push(item());
    while (this.accept(","));
    this.expect(close);
    return items;
  }

  /** Reads a construct that can contain itself. */
  nested<T>(read: () => T): T {
    if (this.#depth >= maxDepth) throw this.error(`the text nests more than ${maxDepth} levels`);
    this.#depth++;
    try {
      return read();
    } finally {
      this.#depth--;
    }
  }

  error(message: string, at: Token = this.#token): ImportTextError {
    return new ImportTextError(this.file, at, message);
  }

  unexpected(wanted: string): ImportTextError {
    const { kind, text } = this.#token;
    const got = kind === "end" ? "the end of the text" : JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
    return this.error(`expected ${wanted}, got ${got}`);
  }
}
