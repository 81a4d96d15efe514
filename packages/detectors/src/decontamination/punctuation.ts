/** Punctuation that the normalization of datatrove replaces by blanks; control characters besides. */
const punctuation: ReadonlySet<string> = new Set(
  "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00ab\u00b4\u00bb\u2013\u2014\u2019\u201c\u201d\u201e\u2026\u2236\u2501\u25ba\u3001\u3002\u3008\u3009\u300a\u300b\u300c\u300d\u3010\u3011\uff01\uff05\uff08\uff09\uff0c\uff0e\uff11\uff1a\uff1b\uff1f\uff5e",
);

export function isPunctuation(character: string): boolean {
  const code = character.charCodeAt(0);
  return punctuation.has(character) || code < 9 || (code > 10 && code < 32) || (code >= 127 && code < 160);
}
