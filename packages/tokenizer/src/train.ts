import { ensure } from "@lapidary/std";
import { forEachSegment } from "./segments.js";
import { barrier, PairCounts, type Words } from "./pair-counts.js";
import { Tokenizer } from "./tokenizer.js";
import { checkVocabSize, firstPieceId, isReservedName, type Merge, Pieces } from "./vocabulary.js";

export interface TrainTokenizerOptions {
  /** Total number of ids: 4 control tokens, 256 bytes, the alphabet, the merges. At least 260, at most 2²⁰. */
  readonly vocabSize: number;
  /** Called repeatedly with the number of assigned ids. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The fraction of the text that the alphabet covers, as in SentencePiece. Bytes encode the rest. */
const characterCoverage = 0.9999;
/** Maximum fraction of the ids after the byte tokens that the alphabet uses. */
const alphabetShare = 0.5;
/** Maximum number of characters of a piece, as in SentencePiece. */
const maxPieceCharacters = 16;
/** A pair that occurs less often gets no id. */
const minCount = 2;

/**
 * Trains a byte-pair tokenizer: it repeatedly makes the most frequent pair of adjacent pieces a piece
 * (Sennrich et al. 2016), only inside the segments of `forEachSegment`. The same texts in any order train the same tokenizer.
 *
 * If the texts do not fill the vocabulary, the last ids stay unused.
 *
 * @throws LapidaryError `LAP_DATA_SETTING` for an invalid vocabulary size
 */
export function trainTokenizer(texts: Iterable<string>, options: TrainTokenizerOptions): Tokenizer {
  const { vocabSize } = options;
  checkVocabSize(vocabSize);

  options.onProgress?.(0, vocabSize);
  const counted = countWords(texts);
  const alphabet = chooseAlphabet(counted, Math.floor((vocabSize - firstPieceId) * alphabetShare));
  const pieces = new Pieces();
  for (const character of alphabet) pieces.add(character);

  const lengths: number[] = [];
  for (const character of alphabet) lengths[ensure(pieces.id(character), "id")] = 1;
  const lengthOf = (id: number): number => ensure(lengths[id], "length");
  const counts = new PairCounts(spell(counted, pieces), {
    lengthOf,
    allowed: (left, right) =>
      lengthOf(left) + lengthOf(right) <= maxPieceCharacters && !isReservedName(pieces.text(left) + pieces.text(right)),
  });

  const merges: Merge[] = [];
  while (pieces.end < vocabSize) {
    const pair = counts.next(minCount);
    if (pair === undefined) break;
    const [left, right] = pair;
    const id = pieces.add(pieces.text(left) + pieces.text(right));
    lengths[id] = lengthOf(left) + lengthOf(right);
    counts.merge(left, right, id);
    merges.push(pair);
    if (merges.length % 256 === 0) options.onProgress?.(pieces.end, vocabSize);
  }
  options.onProgress?.(vocabSize, vocabSize);
  return new Tokenizer({ vocabSize, alphabet, merges });
}

/** Every segment of the texts with its count. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts)
    forEachSegment(text, (start, end) => {
      const word = text.slice(start, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    });
  return counts;
}

/** The words as ids of their characters, one word after the other. Their order has no influence. */
function spell(counted: ReadonlyMap<string, number>, pieces: Pieces): Words {
  let most = 1;
  for (const word of counted.keys()) most += word.length + 1;
  const [ids, weights] = [new Int32Array(most), new Int32Array(most)];
  let end = 1;
  for (const [word, count] of counted) {
    for (const character of word) {
      ids[end] = pieces.id(character) ?? barrier;
      weights[end++] = count;
    }
    end++;
  }
  return { ids: ids.subarray(0, end), weights: weights.subarray(0, end) };
}

/** The most frequent characters until they cover the text; ties by code point. Lone surrogates do not count as characters. */
function chooseAlphabet(words: ReadonlyMap<string, number>, maxSize: number): string[] {
  const counts = new Map<string, number>();
  let total = 0;
  for (const [word, count] of words)
    for (const character of word) {
      if (isSurrogate(character)) continue;
      counts.set(character, (counts.get(character) ?? 0) + count);
      total += count;
    }
  const order = (character: string): number => character.codePointAt(0) ?? 0;
  const frequent = [...counts].sort(([a, x], [b, y]) => y - x || order(a) - order(b));
  const alphabet: string[] = [];
  let covered = 0;
  for (const [character, count] of frequent) {
    if (alphabet.length >= maxSize || covered >= characterCoverage * total) break;
    alphabet.push(character);
    covered += count;
  }
  return alphabet;
}

function isSurrogate(character: string): boolean {
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoint >= 0xd800 && codePoint <= 0xdfff;
}
