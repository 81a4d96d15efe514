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
  ]);
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / Math.max(1, values.length);

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((each) => (each - middle) ** 2)));
}

/** How many measures a layout has. */
export const layoutMeasures = layoutOf("").length;
