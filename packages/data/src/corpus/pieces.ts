/**
 * Cuts a long text into documents at empty lines, each about `target` characters and none over twice that; joined, they
 * are the text. Where a paragraph is longer it is cut at a line end, where a line is longer inside it (never inside a
 * surrogate pair). The time grows with the text: each cut looks at `target` characters, whatever separators are absent.
 */
export function cutIntoDocuments(text: string, target: number): string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > 2 * target) {
    const end = cutBetween(text, start + target, start + 2 * target);
    parts.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) parts.push(text.slice(start));
  return parts;
}

/** Where a text may be cut, the best first: after an empty line, after a line (of Unix, Windows and old Macs), after a space. */
const separators = ["\n\n", "\r\n\r\n", "\n", "\r", " "] as const;

/** The first good place to cut in `[from, to]`, else `to`. Nothing beyond `to` is looked at. */
function cutBetween(text: string, from: number, to: number): number {
  const window = text.slice(from, to);
  for (const separator of separators) {
    const at = window.indexOf(separator);
    if (at >= 0) return from + at + separator.length;
  }
  const unit = text.charCodeAt(to);
  return unit >= 0xdc00 && unit <= 0xdfff ? to - 1 : to;
}
