import type { Finding } from "./finding.js";

/**
 * Phrases by category. Up to three other words can be between two words of a phrase. `a|b` is one of two words, and `*` at the end of a word is
 * any ending.
 */
export type Lexicon = Readonly<Record<string, readonly string[]>>;

/** A small lexicon of instructions that do harm. Single words are not in it, because they occur in harmless texts. Projects add their own. */
const unsafeLexicon: Lexicon = {
  weapons: [
    "build|make|assemble|construct* bomb|explosive*|grenade",
    "pipe bomb instructions|recipe|steps",
    "3d-print|print|build|make* untraceable|ghost gun|firearm",
    "synthesi* sarin|ricin|nerve",
    "make|produce* nerve agent",
    "culture|cultivate|weaponi* anthrax|smallpox|pathogen",
  ],
  drugs: ["cook|synthesi*|manufactur* meth|methamphetamine|heroin|fentanyl", "extract|produce* cocaine"],
  "self-harm": [
    "best|painless|easiest way|method* kill yourself",
    "how to kill yourself",
    "you should kill|hurt|harm yourself",
    "hide your self-harm|cuts from",
  ],
  malware: ["write|create|build* ransomware|keylogger|botnet", "steal|harvest* passwords|credentials|numbers from victims|users|people"],
  violence: ["how to murder|poison|strangle* someone|your|her|him|them", "get away with murder", "hire* hitman"],
  fraud: ["launder* money through|using|without", "forge|counterfeit* passport*|banknote*|currency", "clone* credit card*"],
  minors: ["sexual*|erotic|nude* child*|minor*|underage"],
};

interface Phrase {
  readonly category: string;
  readonly words: readonly RegExp[];
}

const maxGap = 3;
const maxCachedWords = 1 << 16;

/** Finds the phrases of a lexicon in a text. A phrase in a sentence that refuses or warns is not found. */
export class UnsafeDetector {
  readonly #phrases: readonly Phrase[];
  readonly #byFirstWord = new Map<string, readonly Phrase[]>();

  constructor(lexicon: Lexicon = unsafeLexicon) {
    this.#phrases = Object.entries(lexicon).flatMap(([category, phrases]) =>
      phrases.map((phrase) => ({ category, words: phrase.split(" ").map(wordPattern) })),
    );
  }

  find(text: string): readonly Finding[] {
    const words = [...text.matchAll(/[\p{L}\p{N}]+(?:[-'’][\p{L}\p{N}]+)*/gu)].map((match) => ({
      word: match[0].toLowerCase(),
      start: match.index,
    }));
    return words.flatMap(({ word, start }, at) =>
      this.#starting(word).flatMap(({ category, words: patterns }): readonly Finding[] => {
        const end = words[matchEnd(words, at, patterns) ?? -1];
        if (end === undefined) return [];
        const finding = { kind: category, start, end: end.start + end.word.length };
        return isInOneSentence(text, finding) && !isRefusal(text, start) ? [finding] : [];
      }),
    );
  }

  /** The phrases that begin with a word. */
  #starting(word: string): readonly Phrase[] {
    const known = this.#byFirstWord.get(word);
    if (known !== undefined) return known;
    const phrases = this.#phrases.filter(({ words: [first] }) => first?.test(word));
    if (this.#byFirstWord.size >= maxCachedWords) this.#byFirstWord.clear();
    this.#byFirstWord.set(word, phrases);
    return phrases;
  }
}

/** The index of the last word of a phrase that begins at `at`; undefined if it does not. */
function matchEnd(words: readonly { readonly word: string }[], at: number, patterns: readonly RegExp[]): number | undefined {
  let next = at;
  for (const [index, pattern] of patterns.entries()) {
    const lastTried = index === 0 ? next : next + maxGap;
    while (next <= lastTried && !pattern.test(words[next]?.word ?? "")) next++;
    if (next > lastTried || next >= words.length) return undefined;
    next++;
  }
  return next - 1;
}

function wordPattern(word: string): RegExp {
  const escape = (text: string): string => text.replace(/[.+?^${}()[\]\\]/g, "\\$&");
  const alternatives = word.split("|").map((each) => (each.endsWith("*") ? `${escape(each.slice(0, -1))}.*` : escape(each)));
  return new RegExp(`^(?:${alternatives.join("|")})$`, "u");
}

const isInOneSentence = (text: string, { start, end }: Finding): boolean => !/[.!?]\s|\n/.test(text.slice(start, end));

const refusalWords =
  /\b(?:can['’]?t|cannot|can not|won['’]?t|will not|unable|not able|not going to|refuse|sorry|never|do not|don['’]?t|should not|shouldn['’]?t|must not|(?:illegal|a crime|against the law|dangerous) to)\b/i;

/** Whether the sentence refuses or warns before the phrase. */
function isRefusal(text: string, start: number): boolean {
  const before = text.slice(Math.max(0, start - 160), start);
  const sentence = before.slice(
    Math.max(before.lastIndexOf(". "), before.lastIndexOf("\n"), before.lastIndexOf("! "), before.lastIndexOf("? ")) + 1,
  );
  return refusalWords.test(sentence);
}
