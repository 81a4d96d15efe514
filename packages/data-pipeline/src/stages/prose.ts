const sentenceEnd = /[.!?…。！？]["'”’»)\]]*$/u;
const minWords = 6;
const minLetters = 0.7;

/**
 * The share of the characters of a text that are in lines of prose. A line of prose has at least 6 words, ends a sentence,
 * and 70 % of its characters are letters or spaces. NaN for a text without characters.
 */
export function proseShare(text: string): number {
  let [prose, all] = [0, 0];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    all += line.length;
    if (isProse(line)) prose += line.length;
  }
  return prose / all;
}

function isProse(line: string): boolean {
  if (!sentenceEnd.test(line)) return false;
  const words = line.match(/\S+/g)?.length ?? 0;
  const letters = line.match(/[\p{L}\p{M}\s]/gu)?.length ?? 0;
  return words >= minWords && letters >= minLetters * line.length;
}
