const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

/**
 * The text without tags of HTML, entities, and escapes of JSON, which stand between the words of a copy. A text without them is not changed. Only for
 * comparisons: `<` and `\n` in code are removed too.
 */
export function withoutMarkup(text: string): string {
  let plain = text;
  if (plain.includes("\\"))
    plain = plain
      .replace(/\\u([0-9a-fA-F]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
      .replace(/\\[nrtbf"\\/]/g, " ");
  if (plain.includes("<")) plain = plain.replace(/<\/?[a-zA-Z][^<>]{0,300}>|<!--[^<>]{0,300}-->/g, " ");
  if (plain.includes("&"))
    plain = plain
      .replace(/&#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}));/g, (_, hex: string | undefined, decimal: string | undefined) =>
        character(hex, decimal),
      )
      .replace(/&([a-z]{2,4});/g, (whole, name: string) => entities[name] ?? whole);
  return plain;
}

function character(hex: string | undefined, decimal: string | undefined): string {
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  return code <= 0x10ffff ? String.fromCodePoint(code) : " ";
}
