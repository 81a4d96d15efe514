/** A document that a stage dropped. */
export interface DroppedExample {
  readonly id: string;
  readonly reason: string;
  /** The begin of its text. */
  readonly excerpt: string;
}

/** An account has the examples with the smallest ids: so many of all, and so many of each reason. */
export const maxExamples = 20;
export const maxExamplesOfReason = 5;
const excerptCharacters = 200;

/** @param text of the document; it is cut between two characters */
export function droppedExample(id: string, reason: string, text: string): DroppedExample {
  const head = text.slice(0, excerptCharacters);
  return { id, reason, excerpt: /[\uD800-\uDBFF]$/.test(head) ? head.slice(0, -1) : head };
}

/**
 * The examples with the smallest ids of all and of each reason. An id is a hash, so they are uniform samples of the dropped documents, and the
 * samples of a union are the smallest of both samples.
 */
export function smallestExamples(examples: readonly DroppedExample[]): readonly DroppedExample[] {
  const ofReason = new Map<string, number>();
  return [...examples]
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    .filter(({ reason }, place) => {
      const before = ofReason.get(reason) ?? 0;
      ofReason.set(reason, before + 1);
      return place < maxExamples || before < maxExamplesOfReason;
    });
}
