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
  for await (const each of texts) {
    kept.push(each);
    held += Buffer.byteLength(each.text);
    // Twice the wanted bytes are held at most, so that sorting is rare.
    if (held < 2 * bytes) continue;
    kept = withinBytes(kept, bytes);
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
