/**
 * Cuts a long text into documents at empty lines, each about `target` characters and none over twice that; joined, they
 * are the text. Where a paragraph is longer it is cut at a line end, where a line is longer inside it (never inside a
 * surrogate pair).
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

/** The first good place to cut in `[from, to]`: after an empty line, else after a line, else at `to`. */
function cutBetween(text: string, from: number, to: number): number {
  for (const separator of ["\n\n", "\r\n\r\n", "\n", " "]) {
    const at = text.indexOf(separator, from);
    if (at >= 0 && at + separator.length <= to) return at + separator.length;
  }
  const unit = text.charCodeAt(to);
  return unit >= 0xdc00 && unit <= 0xdfff ? to - 1 : to;
}
