/**
 * JSON as a file format must be read: `JSON.parse` keeps the last of two equal keys and turns large integers into other
 * ones without a word. Objects come back as maps, so that no key means anything to JavaScript.
 */
export type StrictJson = null | boolean | number | string | readonly StrictJson[] | ReadonlyMap<string, StrictJson>;

/** What is wrong and at which character. */
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

/** Deeper nesting than any header has; bounds the recursion. */
const maxDepth = 32;
/** Longer than any number that means something. */
const maxNumberLength = 40;

/** @throws StrictJsonError */
export function parseStrictJson(text: string): StrictJson {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.skipBlanks();
  if (reader.at < text.length) reader.fail("unexpected text after the end");
  return value;
}

class Reader {
  at = 0;

  constructor(private readonly text: string) {}

  fail(problem: string, kind: StrictJsonError["kind"] = "syntax"): never {
    throw new StrictJsonError(problem, this.at, kind);
  }

  skipBlanks(): void {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at++;
  }

  value(depth: number): StrictJson {
    if (depth > maxDepth) this.fail("nested too deeply");
    this.skipBlanks();
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
      this.skipBlanks();
      const keyAt = this.at;
      const key = this.string();
      if (object.has(key)) {
        this.at = keyAt;
        this.fail(`key ${JSON.stringify(key)} given twice`, "duplicateKey");
      }
      this.skipBlanks();
      if (!this.take(":")) this.fail('expected ":"');
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
    this.skipBlanks();
    if (this.take(close)) return;
    for (;;) {
      item();
      this.skipBlanks();
      if (this.take(close)) return;
      if (!this.take(",")) this.fail(`expected "," or "${close}"`);
    }
  }

  /** Scans to the closing quote; `JSON.parse` then judges escapes and control characters. */
  private string(): string {
    if (this.text[this.at] !== '"') this.fail("expected a string");
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
    if (end >= this.text.length) this.fail("string without an end");
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
      if (this.take(word)) return value;
    const matched = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(this.text.slice(this.at, this.at + maxNumberLength))?.[0];
    if (matched === undefined) this.fail("expected a value");
    const value = Number(matched);
    if (!Number.isFinite(value) || (/^-?\d+$/.test(matched) && !Number.isSafeInteger(value))) this.fail("number too large");
    this.at += matched.length;
    return value;
  }

  private take(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }
}
