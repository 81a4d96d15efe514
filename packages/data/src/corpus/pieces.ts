/** The places at which a document may end, the best first: after an empty line, after a line, after a word. */
const separators = ["\n\n", "\r\n\r\n", "\n", "\r\r", "\r", " "] as const;

/**
 * Cuts a long text into documents at empty lines, each about `target` characters and none over twice that; joined, they
 * are the text. Where a paragraph is longer it is cut at a line end, where a line is longer inside it (never inside a
 * surrogate pair, and not between the two characters of a line end).
 *
 * The time grows with the text: each search looks at no more than `target` characters.
 */
export function cutIntoDocuments(text: string, target: number): string[] {
  const cutter = new DocumentCutter(target);
  return [...cutter.push(text), ...cutter.end()];
}

/** Cuts a text that arrives in parts, at the same places as `cutIntoDocuments` cuts the whole. */
export class DocumentCutter {
  readonly #target: number;
  #rest = "";

  constructor(target: number) {
    this.#target = target;
  }

  /** The documents that this part completes. */
  *push(part: string): Generator<string> {
    const text = this.#rest + part;
    const target = this.#target;
    let start = 0;
    while (text.length - start > 2 * target) {
      const end = cutBetween(text, start + target, start + 2 * target);
      yield text.slice(start, end);
      start = end;
    }
    this.#rest = text.slice(start);
  }

  /** The last document, or none. */
  *end(): Generator<string> {
    if (this.#rest !== "") yield this.#rest;
    this.#rest = "";
  }
}

/** The first good place to cut in `[from, to]`, or `to`. */
function cutBetween(text: string, from: number, to: number): number {
  const window = text.slice(from, to);
  for (const separator of separators) {
    const at = window.indexOf(separator);
    if (at < 0) continue;
    const end = from + at + separator.length;
    if (!isInsideLineEnd(text, end)) return end;
  }
  if (isInsideLineEnd(text, to)) return to - 1;
  const unit = text.charCodeAt(to);
  return unit >= 0xdc00 && unit <= 0xdfff ? to - 1 : to;
}

function isInsideLineEnd(text: string, at: number): boolean {
  return text.charCodeAt(at) === 0x0a && text.charCodeAt(at - 1) === 0x0d;
}
