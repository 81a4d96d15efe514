import { codePoints, splitLines, splitSpaces, strip } from "./python-text.js";
import { sentenceCount } from "./words.js";

const citation = /\[\p{Nd}*\]|\[edit\]|\[citation needed\]/gu;
const ends = [".", "?", "!", '"', "'"];
const policies = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"];
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
  let sentences = 0;
  const result = (fatal: "lorem" | "bracket" | "none"): C4Result => ({
    measures: {
      "c4.lorem_ipsum": Number(fatal === "lorem"),
      "c4.curly_bracket": Number(fatal === "bracket"),
      "c4.sentences": sentences,
    },
    text: strip(kept.join("\n")),
  });
  for (const line of splitLines(text)) {
    const cleaned = endedLine(strip(line));
    if (cleaned === undefined) continue;
    const lower = cleaned.toLowerCase();
    if (lower.includes("lorem ipsum")) return result("lorem");
    if (lower.includes("javascript")) continue;
    if (cleaned.includes("{")) return result("bracket");
    if (policies.some((policy) => lower.includes(policy))) continue;
    sentences += sentenceCount(cleaned);
    kept.push(cleaned);
  }
  return result("none");
}

/** The line without citations, if it has enough words, none of them too long, and ends a sentence. */
function endedLine(line: string): string | undefined {
  const words = splitSpaces(line);
  if (words.length < minWords || words.some((word) => word.length > maxWord && codePoints(word) > maxWord)) return undefined;
  const cleaned = line.replace(citation, "");
  return ends.some((end) => cleaned.endsWith(end)) && !cleaned.endsWith("...") ? cleaned : undefined;
}
