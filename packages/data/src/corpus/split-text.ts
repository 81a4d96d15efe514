/**
 * Splits a long text into documents at empty lines. Each document has about `target` and at most twice as many characters, and
 * their concatenation is the text. A longer paragraph is split at a line end, a longer line inside the line (never inside a
 * surrogate pair). The time is linear in the length of the text, because each search reads at most `target` characters.
 */
export function splitIntoDocuments(text: string, target: number): string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > 2 * target) {
    const end = splitPoint(text, start + target, start + 2 * target);
    parts.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) parts.push(text.slice(start));
  return parts;
}

/** Separators at which a text may be split, the best first: after an empty line, after a line (of Unix, Windows and old Macs), after a space. */
const separators = ["\n\n", "\r\n\r\n", "\n", "\r", " "] as const;

/** The first split point in `[from, to]`, else `to`. The search does not read beyond `to`. */
function splitPoint(text: string, from: number, to: number): number {
  const window = text.slice(from, to);
  for (const separator of separators) {
    const at = window.indexOf(separator);
    if (at >= 0) return from + at + separator.length;
  }
  const unit = text.charCodeAt(to);
  return unit >= 0xdc00 && unit <= 0xdfff ? to - 1 : to;
}
