/** Replaces control characters by their symbols, so that the text of a model cannot move the cursor. */
export const visible = (text: string): string =>
  text
    .replaceAll("\t", "    ")
    .replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, (c) => (c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "\ufffd"));

/** Lines of at most `width` characters, broken at blanks if possible; `length` is the number of characters of the text in a line. */
export function wrap(text: string, width: number): { text: string; length: number }[] {
  return text.split("\n").flatMap((line) => {
    const parts: { text: string; length: number }[] = [];
    let rest = line;
    while (rest.length > width) {
      const blank = rest.lastIndexOf(" ", width);
      const cut = blank > width / 2 ? blank + 1 : width;
      parts.push({ text: rest.slice(0, cut), length: cut });
      rest = rest.slice(cut);
    }
    return [...parts, { text: rest, length: rest.length + 1 }];
  });
}
