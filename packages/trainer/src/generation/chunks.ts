/** An item, and its place in the results. */
export interface Indexed<T> {
  readonly item: T;
  readonly index: number;
}

/** The items by length, in chunks of at most `size`, so that few rows of a batch are padding. */
export function chunksByLength<T>(items: readonly T[], size: number, lengthOf: (item: T) => number): readonly (readonly Indexed<T>[])[] {
  const sorted = items.map((item, index) => ({ item, index })).sort((a, b) => lengthOf(a.item) - lengthOf(b.item) || a.index - b.index);
  return Array.from({ length: Math.ceil(sorted.length / size) }, (_, at) => sorted.slice(at * size, (at + 1) * size));
}
