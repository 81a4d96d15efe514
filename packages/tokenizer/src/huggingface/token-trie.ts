interface Node {
  readonly next: Map<number, Node>;
  id: number | undefined;
}

const emptyNode = (): Node => ({ next: new Map(), id: undefined });

export interface TokenMatch {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

/** Searches a text for many tokens: from left to right, the longest at each position, without overlaps. */
export class TokenTrie {
  readonly #root = emptyNode();

  /** If two tokens have the same text, the search finds the one that was added first. */
  add(text: string, id: number): void {
    let node = this.#root;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const known = node.next.get(unit);
      const child = known ?? emptyNode();
      if (known === undefined) node.next.set(unit, child);
      node = child;
    }
    node.id ??= id;
  }

  *matches(text: string): Generator<TokenMatch> {
    if (this.#root.next.size === 0) return;
    for (let start = 0; start < text.length; ) {
      const match = this.#longestAt(text, start);
      if (match === undefined) start++;
      else {
        yield match;
        start = match.end;
      }
    }
  }

  #longestAt(text: string, start: number): TokenMatch | undefined {
    let node = this.#root.next.get(text.charCodeAt(start));
    let longest: TokenMatch | undefined;
    for (let end = start + 1; node !== undefined; end++) {
      if (node.id !== undefined) longest = { id: node.id, start, end };
      node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined;
    }
    return longest;
  }
}
