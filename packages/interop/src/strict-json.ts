/**
 * A strict JSON parser for file formats. `JSON.parse` silently keeps the last of two equal keys and rounds large integers; this
 * parser rejects both. Objects are returned as maps, so that no key has a meaning in JavaScript.
 */
export type StrictJson = null | boolean | number | string | readonly StrictJson[] | ReadonlyMap<string, StrictJson>;

/** The problem, and the character at which it is. */
export class StrictJsonError extends Error {
  constructor(
    problem: string,
    readonly offset: number,
    readonly kind: "syntax" | "duplicateKey",
  ) {
    super(`${problem} at character ${offset}`);
    this.name = "StrictJsonError";
  }
}

/** Maximum nesting, deeper than that of any valid header; it bounds the recursion. */
const maxDepth = 32;
/** Maximum length of a number, longer than any useful one. */
const maxNumberLength = 40;

/** @throws StrictJsonError */
export function parseStrictJson(text: string): StrictJson {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.skipSpaces();
  if (parser.at < text.length) parser.fail("unexpected text after the end");
  return value;
}

class Parser {
  at = 0;

  constructor(private readonly text: string) {}

  fail(problem: string, kind: StrictJsonError["kind"] = "syntax"): never {
    throw new StrictJsonError(problem, this.at, kind);
  }

  skipSpaces(): void {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at++;
  }

  value(depth: number): StrictJson {
    if (depth > maxDepth) this.fail("nested too deeply");
    this.skipSpaces();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.array(depth);
      case '"':
        return this.string();
      default:
        return this.word();
    }
  }

  private object(depth: number): ReadonlyMap<string, StrictJson> {
    const object = new Map<string, StrictJson>();
    this.items("}", () => {
      this.skipSpaces();
      const keyAt = this.at;
      const key = this.string();
      if (object.has(key)) {
        this.at = keyAt;
        this.fail(`key ${JSON.stringify(key)} appears twice`, "duplicateKey");
      }
      this.skipSpaces();
      if (!this.accept(":")) this.fail('expected ":"');
      object.set(key, this.value(depth + 1));
    });
    return object;
  }

  private array(depth: number): readonly StrictJson[] {
    const items: StrictJson[] = [];
    this.items("]", () => items.push(this.value(depth + 1)));
    return items;
  }

  /** The comma-separated items of a bracket that opens at the current character. */
  private items(close: string, item: () => void): void {
    this.at++;
    this.skipSpaces();
    if (this.accept(close)) return;
    for (;;) {
      item();
      this.skipSpaces();
      if (this.accept(close)) return;
      if (!this.accept(",")) this.fail(`expected "," or "${close}"`);
    }
  }

  /** Scans to the closing quote; `JSON.parse` then checks escapes and control characters. */
  private string(): string {
    if (this.text[this.at] !== '"') this.fail("expected a string");
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
    if (end >= this.text.length) this.fail("unterminated string");
    try {
      const value = JSON.parse(this.text.slice(this.at, end + 1)) as string;
      this.at = end + 1;
      return value;
    } catch {
      return this.fail("not a JSON string");
    }
  }

  private word(): StrictJson {
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const)
      if (this.accept(word)) return value;
    const matched = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(this.text.slice(this.at, this.at + maxNumberLength))?.[0];
    if (matched === undefined) this.fail("expected a value");
    const value = Number(matched);
    if (!Number.isFinite(value) || (/^-?\d+$/.test(matched) && !Number.isSafeInteger(value))) this.fail("number too large");
    this.at += matched.length;
    return value;
  }

  private accept(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }
}
