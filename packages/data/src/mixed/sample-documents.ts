import { hash32, hashString } from "@lapidary/std";

export interface DocumentSample<Document> {
  /** Documents, and those with at least `minTokens` tokens. */
  readonly documents: number;
  readonly long: number;
  /** At most `count` of the long ones: those with the smallest hashes of seed and id, in this order. */
  readonly sample: readonly Document[];
}

/** A uniform sample of long documents, which depends on the seed and the ids only. Memory is bounded by `count`. */
export function sampleDocuments<Document extends { readonly id: string; readonly tokens: number }>(
  all: Iterable<Document>,
  { count, minTokens, seed }: { readonly count: number; readonly minTokens: number; readonly seed: number },
): DocumentSample<Document> {
  let [documents, long] = [0, 0];
  let kept: { readonly at: number; readonly document: Document }[] = [];
  const smallest = (): typeof kept => kept.sort((a, b) => a.at - b.at || (a.document.id < b.document.id ? -1 : 1)).slice(0, count);
  for (const document of all) {
    documents++;
    if (document.tokens < minTokens) continue;
    long++;
    kept.push({ at: hash32(seed, hashString(document.id)), document });
    if (kept.length > 2 * count + 1000) kept = smallest();
  }
  return { documents, long, sample: smallest().map(({ document }) => document) };
}
