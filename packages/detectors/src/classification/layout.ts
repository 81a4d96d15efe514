/**
 * Measures of the layout of a text: how much of it is letters, symbols, short lines, sentences. They have no words of a topic, so a classifier of them
 * also decides on sources that it never saw.
 */
export function layoutOf(text: string): Float64Array {
  const characters = Math.max(1, text.length);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const words = text.match(/[\p{L}\p{M}\p{N}'’]+/gu) ?? [];
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  const rate = (pattern: RegExp): number => count(pattern) / characters;
  const shareOf = (items: readonly string[], test: RegExp): number =>
    items.filter((each) => test.test(each)).length / Math.max(1, items.length);
  const lengths = lines.map((line) => line.trim().length);
  const sentences = text.split(/[.!?。！？]["'”’)\]]*(?:\s|$)/u);
  return Float64Array.from([
    // Characters.
    rate(/\p{Lu}/gu),
    rate(/\p{Ll}/gu),
    rate(/\p{N}/gu),
    rate(/[ \t]/g),
    rate(/\n/g),
    rate(/[^\t\n\r -~]/g),
    rate(/[.,]/g),
    rate(/[;:]/g),
    rate(/[!?]/g),
    rate(/["'`“”‘’]/g),
    rate(/[()]/g),
    rate(/[[\]]/g),
    rate(/[{}]/g),
    rate(/[<>]/g),
    rate(/[=+*/^%&~-]/g),
    rate(/[_\\]/g),
    rate(/[$#@]/g),
    rate(/[|»«›‹·•★☆©€£→]/gu),
    rate(/[∀-⋿∑∫√≤≥]/gu),
    rate(/\\[a-zA-Z]+/g),
    rate(/->|=>|==|!=|::|&&|\|\||:=/g),
    rate(/\b[a-zA-Z]\b/g),
    rate(/\w[([]/g),
    rate(/\w\.\w/g),
    rate(/[a-z][A-Z]|[a-zA-Z]_[a-zA-Z]/g),
    // Lines.
    Math.log(1 + mean(lengths)),
    deviation(lengths) / (1 + mean(lengths)),
    shareOf(lines, /^\s{2}/),
    shareOf(lines, /[.!?]["'”’)]?\s*$/u),
    shareOf(lines, /[;{}]\s*$/),
    shareOf(lines, /[,:([]\s*$/),
    shareOf(lines, /^.{0,30}$/u),
    shareOf(lines, /^\s*(?:[-•*·–●]|\d+[.)])\s/u),
    shareOf(lines, /^\s*(?:\/\/|#|\/?\*)/),
    shareOf(lines, /\d\s*$/),
    shareOf(lines, /^\s*[A-Z]/),
    shareOf(lines, /=/),
    1 - new Set(lines).size / Math.max(1, lines.length),
    // Words and sentences.
    mean(words.map((word) => word.length)),
    deviation(words.map((word) => word.length)),
    words.length / characters,
    new Set(words.map((word) => word.toLowerCase())).size / Math.max(1, words.length),
    shareOf(
      words,
      /^(?:the|of|to|is|a|and|in|that|it|for|be|as|with|are|by|this|on|or|an|if|not|which|will|from|when|was|has|have|at|but)$/i,
    ),
    shareOf(words, /^\p{Lu}\p{Ll}/u),
    shareOf(words, /^\p{N}+$/u),
    shareOf(words, /^.$/u),
    Math.log(1 + mean(sentences.map((sentence) => sentence.trim().length))),
    count(/[\p{Ll})][.?!]["'”’)]?(?:\s|$)/gu) / Math.max(1, lines.length),
    count(/[\p{Ll})][.?!]["'”’)]?(?:\s|$)/gu) / Math.max(1, words.length),
    ...proseOf(text, words),
  ]);
}

const functionWords = new Set(
  (
    "the of to is a and in that it for be as with are by this on or an if not which will from when was has have at but can you we he she they his her " +
    "their its were there how all more no do does what who your our than then into so only also other these those one each would could should may must " +
    "been had i"
  ).split(" "),
);

/** A sentence begins with a capital letter and ends in a mark that is not within a word. */
const sentencePattern = /(?:^|[\s"'“(])(\p{Lu}[^.!?\n]*(?:\n[^.!?\n]+)*(?:[.](?=\p{L}|\p{N})[^.!?\n]*)*[.!?])(?=["'”’)\]]*(?:\s|$))/gu;
const wordsOfSentence = { least: 5, most: 60 };

/**
 * What makes a text prose, in any language with capital letters: the shares of words in whole sentences, of the most frequent word that is not a function
 * word, in pairs of words that come twice or more, and of function words.
 */
function proseOf(text: string, original: readonly string[]): readonly [number, number, number, number] {
  const words = original.map((word) => word.toLowerCase());
  const total = Math.max(1, words.length);
  let inSentences = 0;
  for (const [, sentence = ""] of text.matchAll(sentencePattern)) {
    const length = sentence.match(/[\p{L}\p{M}\p{N}'’]+/gu)?.length ?? 0;
    if (length >= wordsOfSentence.least && length <= wordsOfSentence.most) inSentences += length;
  }
  const topics = countsOf(words.filter((word) => word.length > 2 && !functionWords.has(word)));
  const pairs = countsOf(words.slice(1).map((word, i) => `${words[i]} ${word}`));
  const repeated = [...pairs.values()].reduce((sum, times) => (times > 1 ? sum + times : sum), 0);
  const mostFrequent = [...topics.values()].reduce((most, times) => Math.max(most, times), 0);
  return [inSentences / total, mostFrequent / total, repeated / total, words.filter((word) => functionWords.has(word)).length / total];
}

function countsOf(items: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / Math.max(1, values.length);

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((each) => (each - middle) ** 2)));
}

/** How many measures a layout has. */
export const layoutMeasures = layoutOf("").length;

const measuresOfProse = 4;

/**
 * How much each measure counts for a text that is unlike the training texts. The measures of prose count more: the other ones are many and say the same
 * several times, and new sources have other characters and lines, but not other sentences.
 */
export const unusualWeights: readonly number[] = Array.from({ length: layoutMeasures }, (_, i) =>
  i < layoutMeasures - measuresOfProse ? 1 : 4,
);
