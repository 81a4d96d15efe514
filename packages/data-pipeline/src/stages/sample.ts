/** A text with the id of its document. */
export interface SampledText {
  readonly id: string;
  readonly text: string;
}

/**
 * The texts with the smallest ids that have at most `bytes` in UTF-8 together, sorted by id; at least one text. Ids are
 * hashes, so this is a uniform sample, and it does not depend on the order or the sharding of the texts.
 */
export async function smallestTexts(texts: AsyncIterable<SampledText>, bytes: number): Promise<readonly SampledText[]> {
  let kept: SampledText[] = [];
  let held = 0;
  /** Texts with smaller ids fill the sample, so a text with a greater id is never in it. */
  let bound: string | undefined;
  for await (const each of texts) {
    if (bound !== undefined && each.id >= bound) continue;
    kept.push(each);
    held += Buffer.byteLength(each.text);
    // An eighth more than the wanted bytes is held at most, so that sorting is rare.
    if (held <= bytes * 1.125) continue;
    const within = withinBytes(kept, bytes);
    // `withinBytes` has sorted `kept`: the first text that does not fit is the bound.
    bound = kept[within.length]?.id ?? bound;
    kept = within;
    held = kept.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  }
  return withinBytes(kept, bytes);
}

function withinBytes(texts: SampledText[], bytes: number): SampledText[] {
  texts.sort((a, b) => (a.id < b.id ? -1 : 1));
  let sum = 0;
  const end = texts.findIndex(({ text }) => (sum += Buffer.byteLength(text)) > bytes);
  return end < 0 ? texts : texts.slice(0, Math.max(1, end));
}
