/** A document that a stage dropped. */
export interface DroppedExample {
  readonly id: string;
  readonly reason: string;
  /** The begin of its text. */
  readonly excerpt: string;
}

/** An account has at most this many examples. */
export const maxExamples = 20;
const excerptCharacters = 200;

/** @param text of the document; it is cut between two characters */
export function droppedExample(id: string, reason: string, text: string): DroppedExample {
  const head = text.slice(0, excerptCharacters);
  return { id, reason, excerpt: /[\uD800-\uDBFF]$/.test(head) ? head.slice(0, -1) : head };
}

/**
 * The examples with the smallest ids. An id is a hash, so they are a uniform sample of all dropped documents, and the
 * sample of a union is the smallest of both samples.
 */
export const smallestExamples = (examples: readonly DroppedExample[]): readonly DroppedExample[] =>
  [...examples].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).slice(0, maxExamples);
