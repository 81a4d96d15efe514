/**
 * The line of an error in a text: `job:7:3` and `job:7:3: data.corpus: /x` are line 7, column 3; an override has no line.
 *
 * @param file the name of the text in locations
 */
export function lineOf(place: string | undefined, file = "job"): number | undefined {
  if (place?.startsWith(`${file}:`) !== true) return undefined;
  const match = /^(\d+):\d+(?=$|: )/.exec(place.slice(file.length + 1));
  return match === null ? undefined : Number(match[1]);
}

export type YamlToken = { readonly text: string; readonly kind: "key" | "comment" | "value" | "plain" };

/** Splits a line of YAML into key, value and comment, for coloring. Sufficient for job files; never changes the text. */
export function yamlTokens(line: string): YamlToken[] {
  const comment = /(^|\s)#.*$/.exec(line);
  const code = comment === null ? line : line.slice(0, comment.index + (comment[1] ?? "").length);
  const tokens: YamlToken[] = [];
  const key = /^(\s*(?:- )?)([A-Za-z_][\w.-]*)(:)(.*)$/.exec(code);
  if (key === null) tokens.push({ text: code, kind: "value" });
  else
    tokens.push(
      { text: key[1] ?? "", kind: "plain" },
      { text: key[2] ?? "", kind: "key" },
      { text: key[3] ?? "", kind: "plain" },
      { text: key[4] ?? "", kind: "value" },
    );
  if (comment !== null) tokens.push({ text: line.slice(code.length), kind: "comment" });
  return tokens.filter(({ text }) => text !== "");
}
