/** A stretch of a text that a detector found. */
export interface Finding<Kind extends string = string> {
  readonly kind: Kind;
  /** Offsets in UTF-16 units; `end` is exclusive. */
  readonly start: number;
  readonly end: number;
}

/** The ends of a found text, for reports: a report must not spread what the filter removes. */
export function maskedExcerpt(text: string, { start, end }: Finding): string {
  const found = text.slice(start, end);
  return found.length < 8 ? "…" : `${found.slice(0, 2)}…${found.slice(-2)}`;
}

/** The findings that do not overlap an earlier one of the list, in the order of the text. */
export function withoutOverlaps<T extends Finding>(findings: readonly T[]): readonly T[] {
  const isTaken = new Uint8Array(findings.reduce((max, { end }) => Math.max(max, end), 0));
  const kept = findings.filter(({ start, end }) => {
    if (isTaken.subarray(start, end).includes(1)) return false;
    isTaken.fill(1, start, end);
    return true;
  });
  return kept.sort((a, b) => a.start - b.start);
}
