import { codePoints, forEachLine, isSpace, skipSpaces, skipSpacesBack, strip } from "./python-text.js";
import { sentenceCount } from "./sentences.js";

const citation = /\[\p{Nd}*\]|\[edit\]|\[citation needed\]/gu;
const ends = [".", "?", "!", '"', "'"];
const policies = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"];
const [placeholder, script] = ["lorem ipsum", "javascript"];
const phrases = [placeholder, script, ...policies];
const maxWord = 1000;
const minWords = 3;

/** Measures of the filter of C4 (JMLR 21/20-074), which also removes lines. */
export interface C4Measures {
  /** 1 if the first kept line with one of both has "lorem ipsum". */
  readonly "c4.lorem_ipsum": number;
  /** 1 if that line has a curly bracket. */
  readonly "c4.curly_bracket": number;
  /** Sentences of the kept lines before that line. */
  readonly "c4.sentences": number;
}

export interface C4Result {
  readonly measures: C4Measures;
  /** The kept lines without citations. */
  readonly text: string;
}

/** The text that the filter of C4 leaves. */
export const c4Text = (text: string): string => c4Filter(text).text;

export function c4Filter(text: string): C4Result {
  const kept: string[] = [];
  const lowerText = text.toLowerCase();
  const hasPhrase = phrases.some((phrase) => lowerText.includes(phrase));
  let [sentences, hasPlaceholder, hasBracket] = [0, false, false];
  forEachLine(text, (lineStart, lineEnd) => {
    if (hasPlaceholder || hasBracket) return;
    const start = skipSpaces(text, lineStart, lineEnd);
    const end = skipSpacesBack(text, start, lineEnd);
    if (!hasWords(text, start, end)) return;
    const line = text.slice(start, end);
    const isCited = line.includes("[");
    const cleaned = isCited ? line.replace(citation, "") : line;
    if (!isEnded(cleaned)) return;
    // A phrase of the line is a phrase of the text, unless the removal of a citation made it.
    const lower = hasPhrase || isCited ? cleaned.toLowerCase() : "";
    hasPlaceholder = lower.includes(placeholder);
    if (hasPlaceholder || lower.includes(script)) return;
    hasBracket = cleaned.includes("{");
    if (hasBracket || policies.some((policy) => lower.includes(policy))) return;
    sentences += sentenceCount(cleaned);
    kept.push(cleaned);
  });
  return {
    measures: {
      "c4.lorem_ipsum": Number(hasPlaceholder),
      "c4.curly_bracket": Number(hasBracket),
      "c4.sentences": sentences,
    },
    text: strip(kept.join("\n")),
  };
}

const isEnded = (line: string): boolean => ends.some((end) => line.endsWith(end)) && !line.endsWith("...");

/** The line has enough words, none of them too long. */
function hasWords(text: string, start: number, end: number): boolean {
  let words = 0;
  for (let at = start; at < end; at = skipSpaces(text, at, end)) {
    const first = at;
    while (at < end && !isSpace(text.charCodeAt(at))) at++;
    words++;
    if (at - first > maxWord && codePoints(text.slice(first, at)) > maxWord) return false;
  }
  return words >= minWords;
}
