import { wordHash } from "./word-hash.js";

/** How a character of a text appears in its normalized words. */
export interface CharacterRole {
  /** `number`: a digit of a number that is one `0`. `dropped`: the words are those of the text without the character. */
  readonly kind: "separator" | "joined" | "single" | "number" | "dropped" | "contextual";
  /** What the words have in place of the character. */
  readonly text: string;
}

/** The rule of a normalization, by character. */
export interface CharacterRule {
  roleOf(character: string): CharacterRole;
  /** Whether characters are dropped before numbers are found. */
  readonly dropsInNumbers: boolean;
}

/** The words of a document: their number, hashes, and texts. */
export interface HashedWords {
  readonly count: number;
  /** One for each word, and more. */
  readonly hashes: Uint32Array;
  word(index: number): string;
}

const kinds = { unknown: 0, separator: 1, joined: 2, single: 3, number: 4, dropped: 5, contextual: 6, expanded: 7 } as const;
const zero = 0x30;
const firstCapacity = 1 << 12;
const numberMarks: ReadonlySet<number> = new Set(Array.from(".,،٫⎖⎗⎘", (each) => each.charCodeAt(0)));

/**
 * Finds and hashes the normalized words of a text without strings: a table has the role of each character. The memory is used again for the next text.
 *
 * A few characters depend on their neighbours, such as Σ in lower case. A text with one of them is normalized as a string.
 */
export class WordScanner implements HashedWords {
  readonly #rule: CharacterRule;
  readonly #reference: (text: string) => readonly string[];
  /** For each UTF-16 unit `kind << 16 | unit of the words`. */
  readonly #roles = new Int32Array(0x10000);
  /** Characters of two units, and those that words have as several units. */
  readonly #long = new Map<number, CharacterRole>();
  /** The words one after the other, and where each ends. */
  #units = new Uint16Array(firstCapacity);
  #ends = new Int32Array(firstCapacity);
  hashes = new Uint32Array(firstCapacity);
  count = 0;
  #size = 0;
  #start = 0;

  /** @param reference the words of a text as strings */
  constructor(rule: CharacterRule, reference: (text: string) => readonly string[]) {
    [this.#rule, this.#reference] = [rule, reference];
  }

  /** This object with the words of another text. */
  read(text: string): this {
    if (!this.#scan(text)) this.#readStrings(this.#reference(text));
    return this;
  }

  word(index: number): string {
    const start = index === 0 ? 0 : (this.#ends[index - 1] ?? 0);
    return String.fromCharCode(...this.#units.subarray(start, this.#ends[index]));
  }

  /** Returns false if a character is contextual. */
  #scan(text: string): boolean {
    this.#reserve(text.length);
    [this.count, this.#size, this.#start] = [0, 0, 0];
    const roles = this.#roles;
    let units = this.#units;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      let role = roles[unit] ?? 0;
      if (role === 0) role = this.#learn(text, at);
      switch (role >> 16) {
        case kinds.joined:
          units[this.#size++] = role & 0xffff;
          break;
        case kinds.separator:
          this.#endWord();
          break;
        case kinds.single:
          this.#endWord();
          units[this.#size++] = role & 0xffff;
          this.#endWord();
          break;
        case kinds.number:
          units[this.#size++] = zero;
          at = this.#numberEnd(text, at) - 1;
          break;
        case kinds.dropped:
          break;
        case kinds.contextual:
          return false;
        default: {
          const long = this.#longRole(text, at);
          if (long.kind === "contextual") return false;
          if (long.kind === "number") {
            units[this.#size++] = zero;
            at = this.#numberEnd(text, at) - 1;
            break;
          }
          if ((text.codePointAt(at) ?? 0) > 0xffff) at++;
          this.#append(long, text.length - at);
          units = this.#units;
        }
      }
    }
    this.#endWord();
    return true;
  }

  /** @param rest the units of the text after the character: the memory holds as many */
  #append({ kind, text }: CharacterRole, rest: number): void {
    if (kind === "dropped") return;
    if (kind !== "joined") this.#endWord();
    if (kind === "separator") return;
    if (this.#size + text.length + rest >= this.#units.length) {
      const units = new Uint16Array(2 * (this.#size + text.length + rest));
      units.set(this.#units);
      this.#units = units;
    }
    for (let i = 0; i < text.length; i++) this.#units[this.#size++] = text.charCodeAt(i);
    if (kind === "single") this.#endWord();
  }

  #endWord(): void {
    if (this.#size === this.#start) return;
    this.hashes[this.count] = wordHash(this.#units, this.#start, this.#size);
    this.#ends[this.count++] = this.#size;
    this.#start = this.#size;
  }

  /** Digits, and after one mark of numbers more digits. */
  #numberEnd(text: string, start: number): number {
    const end = this.#digitsEnd(text, start);
    const mark = this.#afterDropped(text, end);
    if (!numberMarks.has(text.charCodeAt(mark))) return end;
    const more = this.#digitsEnd(text, mark + 1);
    return more > this.#afterDropped(text, mark + 1) ? more : end;
  }

  /** The end of digits, and of dropped characters between them. `start` if there are none. */
  #digitsEnd(text: string, start: number): number {
    let end = start;
    for (;;) {
      const at = this.#afterDropped(text, end);
      if (at >= text.length || this.#kindAt(text, at) !== "number") return end;
      end = at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    }
  }

  #afterDropped(text: string, start: number): number {
    if (!this.#rule.dropsInNumbers) return start;
    let at = start;
    while (at < text.length && this.#kindAt(text, at) === "dropped") at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    return at;
  }

  #kindAt(text: string, at: number): CharacterRole["kind"] | undefined {
    const unit = text.charCodeAt(at);
    const kind = ((this.#roles[unit] ?? 0) || this.#learn(text, at)) >> 16;
    if (kind === kinds.number) return "number";
    if (kind === kinds.dropped) return "dropped";
    return kind === kinds.expanded ? this.#longRole(text, at).kind : undefined;
  }

  /** The role of a UTF-16 unit, which is stored. */
  #learn(text: string, at: number): number {
    const unit = text.charCodeAt(at);
    // A half of a pair has no role of its own.
    if ((unit & 0xf800) === 0xd800) return kinds.expanded << 16;
    const role = this.#rule.roleOf(String.fromCharCode(unit));
    const isShort = role.text.length <= 1;
    const found = isShort ? (kinds[role.kind] << 16) | role.text.charCodeAt(0) : kinds.expanded << 16;
    this.#roles[unit] = found;
    return found;
  }

  #longRole(text: string, at: number): CharacterRole {
    const codePoint = text.codePointAt(at) ?? 0;
    let role = this.#long.get(codePoint);
    if (role === undefined) this.#long.set(codePoint, (role = this.#rule.roleOf(String.fromCodePoint(codePoint))));
    return role;
  }

  #readStrings(words: readonly string[]): void {
    const size = words.reduce((sum, word) => sum + word.length, 0);
    this.#reserve(Math.max(size, words.length));
    [this.count, this.#size, this.#start] = [0, 0, 0];
    for (const word of words) {
      for (let i = 0; i < word.length; i++) this.#units[this.#size++] = word.charCodeAt(i);
      this.#endWord();
    }
  }

  /** Room for a text whose characters do not grow. */
  #reserve(length: number): void {
    if (this.#units.length <= length) this.#units = new Uint16Array(2 * length);
    // A character of several units is at most one word.
    if (this.#ends.length > length) return;
    [this.#ends, this.hashes] = [new Int32Array(2 * length), new Uint32Array(2 * length)];
  }
}

/**
 * The role of a character whose normalized text is `text`, if all of its characters have one role.
 *
 * @param kindOf the role of one normalized character
 */
export function roleOfText(text: string, kindOf: (character: string) => "separator" | "joined" | "single"): CharacterRole {
  if (text === "") return { kind: "dropped", text };
  const all = new Set(Array.from(text, kindOf));
  const [kind = "contextual"] = all;
  if (all.size > 1 || (kind === "single" && Array.from(text).length > 1)) return { kind: "contextual", text };
  return { kind, text: kind === "separator" ? "" : text };
}
