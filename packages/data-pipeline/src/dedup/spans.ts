/** A window of bytes of one document that occurs in the corpus twice or more. */
export interface RepeatedWindow {
  readonly start: number;
  /** It is among the copies that stay. */
  readonly stays: boolean;
}

export type Span = readonly [start: number, end: number];

/**
 * The bytes to cut: those of windows that do not stay, without the bytes of windows that stay.
 *
 * @param windows by start
 */
export function cutSpans(windows: readonly RepeatedWindow[], windowBytes: number): readonly Span[] {
  const unionOf = (stays: boolean): [number, number][] => {
    const spans: [number, number][] = [];
    for (const window of windows) {
      if (window.stays !== stays) continue;
      const last = spans.at(-1);
      if (last !== undefined && window.start <= last[1]) last[1] = window.start + windowBytes;
      else spans.push([window.start, window.start + windowBytes]);
    }
    return spans;
  };
  const stay = unionOf(true);
  return unionOf(false).flatMap(([start, end]) => {
    const rest: Span[] = [];
    let at = start;
    for (const [from, to] of stay) {
      if (to <= at || from >= end) continue;
      if (from > at) rest.push([at, from]);
      at = to;
    }
    if (at < end) rest.push([at, end]);
    return rest;
  });
}

/** Spans of UTF-8 bytes as offsets of UTF-16, without the characters that a span holds in part. */
export function replacements(text: string, spans: readonly Span[]): readonly Span[] {
  if (Buffer.byteLength(text) === text.length) return spans;
  const result: Span[] = [];
  let [byte, unit] = [0, 0];
  const advance = (isBefore: (byte: number, next: number) => boolean): void => {
    while (unit < text.length) {
      const code = text.codePointAt(unit) ?? 0;
      const next = byte + (code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
      if (!isBefore(byte, next)) return;
      [byte, unit] = [next, unit + (code < 0x10000 ? 1 : 2)];
    }
  };
  for (const [start, end] of spans) {
    advance((at) => at < start);
    const from = unit;
    advance((_, next) => next <= end);
    if (unit > from) result.push([from, unit]);
  }
  return result;
}
