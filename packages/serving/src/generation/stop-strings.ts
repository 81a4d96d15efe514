/** One stop string with the failure table of Knuth, Morris and Pratt, and the current state. */
interface Matcher {
  readonly text: string;
  /** `fallback[k]`: length of the longest proper prefix that is also a suffix of the first k characters. */
  readonly fallback: Int32Array;
  /** Length of the longest prefix of `text` that ends the text so far. */
  matched: number;
}

/** The text that can no longer be the start of a stop string. */
export interface Released {
  readonly text: string;
  /** Whether a stop string is complete. `text` ends before the stop string, and later text does not count. */
  readonly stopped: boolean;
}

/**
 * Finds stop strings in a text that arrives in pieces. It holds back the end of the text that may be the start of a stop string. The stop
 * string that is complete first counts; of two that are complete at the same character, the longer one.
 */
export class StopStrings {
  readonly #matchers: readonly Matcher[];
  #held = "";

  /** @param texts not empty strings, without lone surrogates */
  constructor(texts: readonly string[]) {
    this.#matchers = texts.map((text) => ({ text, fallback: fallbackTable(text), matched: 0 }));
  }

  push(piece: string): Released {
    if (this.#matchers.length === 0) return { text: piece, stopped: false };
    const text = this.#held + piece;
    for (let at = this.#held.length; at < text.length; at++) {
      const stop = this.#advance(text.charCodeAt(at));
      if (stop === 0) continue;
      this.#held = "";
      return { text: text.slice(0, at + 1 - stop), stopped: true };
    }
    const keep = text.length - Math.max(...this.#matchers.map(({ matched }) => matched));
    this.#held = text.slice(keep);
    return { text: text.slice(0, keep), stopped: false };
  }

  /** The text that is held back, after the last piece. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }

  /** @returns the length of the longest stop string that this character completes, 0 if none */
  #advance(character: number): number {
    let stop = 0;
    for (const matcher of this.#matchers) {
      const { text, fallback } = matcher;
      let { matched } = matcher;
      while (matched > 0 && text.charCodeAt(matched) !== character) matched = fallback[matched] ?? 0;
      if (text.charCodeAt(matched) === character) matched++;
      matcher.matched = matched;
      if (matched === text.length) stop = Math.max(stop, matched);
    }
    return stop;
  }
}

function fallbackTable(text: string): Int32Array {
  const table = new Int32Array(text.length + 1);
  let matched = 0;
  for (let at = 1; at < text.length; at++) {
    while (matched > 0 && text[matched] !== text[at]) matched = table[matched] ?? 0;
    if (text[matched] === text[at]) matched++;
    table[at + 1] = matched;
  }
  return table;
}
