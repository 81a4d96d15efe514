import { must } from "@lapidary/std";
import { badSetting } from "../data-errors.js";
import { cuts } from "./cuts.js";
import { barrier, PairCounts, type Words } from "./pair-counts.js";
import { Tokenizer } from "./tokenizer.js";
import { firstPieceId, isReservedName, type Merge, maxVocabSize, Pieces } from "./vocabulary.js";

export interface TrainTokenizerOptions {
  /** Ids in all: 4 control tokens, 256 bytes, the alphabet, the merges. At least 260, at most 2²⁰. */
  readonly vocabSize: number;
  /** Called now and then with how many of the ids are given. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** So much of the text the alphabet covers, as in SentencePiece; the rest is spelt in bytes. */
const characterCoverage = 0.9999;
/** The alphabet takes at most this share of the ids that are left after the bytes. */
const alphabetShare = 0.5;
/** Characters of the longest piece, as in SentencePiece. */
const longestPiece = 16;
/** A pair that occurs less often is not worth an id. */
const leastCount = 2;

/**
 * Trains a byte-pair tokenizer: the most frequent pair of neighbouring pieces becomes a piece, again and again
 * (Sennrich et al. 2016), inside the cuts of the text only. The same texts in any order give the same tokenizer.
 *
 * When the texts are too few to fill the vocabulary, the last ids stay unused.
 *
 * @throws LapidaryError `LAP_DATA_SETTING` for a vocabulary size that cannot be
 */
export function trainTokenizer(texts: Iterable<string>, options: TrainTokenizerOptions): Tokenizer {
  const { vocabSize } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < firstPieceId || vocabSize > maxVocabSize)
    throw badSetting(
      "data.vocab",
      vocabSize,
      `it must be a whole number from ${firstPieceId} (the control and byte tokens) to ${maxVocabSize}`,
    );

  options.onProgress?.(0, vocabSize);
  const counted = countWords(texts);
  const alphabet = chooseAlphabet(counted, Math.floor((vocabSize - firstPieceId) * alphabetShare));
  const pieces = new Pieces();
  for (const character of alphabet) pieces.add(character);

  const lengths: number[] = [];
  for (const character of alphabet) lengths[must(pieces.id(character), "id")] = 1;
  const lengthOf = (id: number): number => must(lengths[id], "length");
  const counts = new PairCounts(
    spell(counted, pieces),
    lengthOf,
    (left, right) => lengthOf(left) + lengthOf(right) <= longestPiece && !isReservedName(pieces.text(left) + pieces.text(right)),
  );

  const merges: Merge[] = [];
  while (pieces.end < vocabSize) {
    const pair = counts.next(leastCount);
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

/** Every cut of the texts with its count. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts)
    cuts(text, (start, end) => {
      const word = text.slice(start, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    });
  return counts;
}

/** The words as ids of their characters, one word after the other. Their order decides nothing. */
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

/** The most frequent characters until they cover the text; ties by code point. Lone surrogates are no characters. */
function chooseAlphabet(words: ReadonlyMap<string, number>, atMost: number): string[] {
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
    if (alphabet.length >= atMost || covered >= characterCoverage * total) break;
    alphabet.push(character);
    covered += count;
  }
  return alphabet;
}

function isSurrogate(character: string): boolean {
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoint >= 0xd800 && codePoint <= 0xdfff;
}
