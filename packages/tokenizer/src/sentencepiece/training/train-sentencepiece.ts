import { badVocabularySize } from "../../tokenizer-errors.js";
import { barrier, type Pair, PairCounts, type Words } from "../../pair-counts.js";
import { byteName, maxVocabSize, Pieces, specialNames, turnNames } from "../../vocabulary.js";
import { Algorithm, type ModelProto, type Piece, PieceType, writeModelProto } from "../model-proto.js";
import { spaceMarker } from "../normalizer.js";
import { SentencePieceTokenizer } from "../sentencepiece-tokenizer.js";
import type { WireWriter } from "../wire.js";
import { PieceRules } from "./piece-rules.js";
import { boundary, SentenceWords } from "./sentence-words.js";
import { WordCounts } from "./word-counts.js";

export interface TrainSentencePieceOptions {
  /** Total number of ids: control tokens, symbols, bytes, merged pieces, characters. */
  readonly vocabSize: number;
  /** Texts that are always one token; those of Gemma by default. A space is `▁`. */
  readonly symbols?: readonly string[];
  /** Called repeatedly with the number of merged pieces. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Bounds of the memory. */
  readonly limits?: Partial<TrainingLimits>;
}

interface TrainingLimits {
  /** Different words in memory; 2²² by default. The counts of more words are on disk. */
  readonly words: number;
  /** Characters of different words from which pieces are learnt; 2²⁶ by default, which take about 1.2 GB. Rare words beyond them are left out. */
  readonly characters: number;
}

export interface TrainedSentencePiece {
  readonly tokenizer: SentencePieceTokenizer;
  /** The content of a `.model` file. */
  readonly file: Uint8Array;
}

/** The fraction of the text that single characters cover. Bytes encode the rest. */
const characterCoverage = 0.9999;
const defaultMaxCharacters = 1 << 26;

const runs = (character: string, from: number): string[] => Array.from({ length: 32 - from }, (_, i) => character.repeat(from + i));

/** Gemma's symbols: the tokens of dialogues, and runs of up to 31 line ends, tabs and spaces. */
export const gemmaSymbols: readonly string[] = [...turnNames, ...runs("\n", 1), ...runs("\t", 1), ...runs(spaceMarker, 2)];

/**
 * Trains a byte-pair model with the settings of Gemma's tokenizer and the rules of SentencePiece's trainer (bpe_model_trainer.cc): the most
 * frequent pair of pieces becomes a piece; of equal counts the shorter piece comes first, then the lower code points. Digits are single; bytes encode
 * characters without a piece; white space is kept. The memory is bounded by `limits`, not by the texts. The same texts in any order train the same model. If the texts do not fill the vocabulary, the last
 * ids are control tokens `<unused0>`, ….
 *
 * @throws LapidaryError `LAP_DATA_SETTING` if the vocabulary cannot hold the control tokens, symbols, bytes and characters
 */
export function trainSentencePiece(texts: Iterable<string>, options: TrainSentencePieceOptions): TrainedSentencePiece {
  const trainer = new SentencePieceTrainer(options);
  try {
    for (const text of texts) trainer.add(text);
    return trainer.train();
  } finally {
    trainer.close();
  }
}

/** `trainSentencePiece` for texts that come one after another. It keeps their words, not the texts. */
export class SentencePieceTrainer {
  readonly #options: TrainSentencePieceOptions;
  readonly #given: readonly Piece[];
  readonly #sentences: SentenceWords;
  readonly #words: WordCounts;

  constructor(options: TrainSentencePieceOptions) {
    this.#options = options;
    this.#given = givenPieces(options.symbols ?? gemmaSymbols);
    this.#sentences = new SentenceWords(this.#given.map(({ text }) => text));
    this.#words = new WordCounts(options.limits?.words);
  }

  add(text: string): void {
    this.#sentences.forEach(text, (word) => this.#words.add(word));
  }

  /** @throws LapidaryError `LAP_DATA_SETTING` if the vocabulary cannot hold the control tokens, symbols, bytes and characters */
  train(): TrainedSentencePiece {
    const { vocabSize, symbols = gemmaSymbols } = this.#options;
    const alphabet = chooseAlphabet(this.#words);
    const free = vocabSize - this.#given.length - alphabet.length;
    if (!Number.isInteger(vocabSize) || free < 0 || vocabSize > maxVocabSize)
      throw badVocabularySize(vocabSize, this.#given.length + alphabet.length, maxVocabSize);
    const merged = learnPieces(this.#words, alphabet, free, this.#options);
    return trainedModel(this.#given, [...merged, ...alphabet], vocabSize, symbols);
  }

  /** Removes the files of the counts. */
  close(): void {
    this.#words.close();
  }
}

function trainedModel(
  given: readonly Piece[],
  texts: readonly string[],
  vocabSize: number,
  symbols: readonly string[],
): TrainedSentencePiece {
  const learnt = texts.map((text, i): Piece => ({ text, score: -i, type: PieceType.normal }));
  const unused = Array.from(
    { length: vocabSize - given.length - learnt.length },
    (_, i): Piece => ({ text: `<unused${i}>`, score: 0, type: PieceType.control }),
  );
  const file = writeModelProto(modelOf([...given, ...learnt, ...unused]), (spec) => describeTraining(spec, symbols));
  return { file, tokenizer: new SentencePieceTokenizer(file) };
}

/** Control tokens, symbols and bytes. */
function givenPieces(symbols: readonly string[]): Piece[] {
  const [pad, eos, bos, unk] = specialNames;
  const control = (text: string): Piece => ({ text, score: 0, type: PieceType.control });
  return [
    ...[pad, eos, bos].map(control),
    { text: unk, score: 0, type: PieceType.unknown },
    ...symbols.map((text): Piece => ({ text, score: 0, type: PieceType.userDefined })),
    ...Array.from({ length: 256 }, (_, byte): Piece => ({ text: byteName(byte), score: 0, type: PieceType.byte })),
  ];
}

function modelOf(pieces: readonly Piece[]): ModelProto {
  const [padPiece, eosPiece, bosPiece, unkPiece] = specialNames;
  const names = { padPiece, eosPiece, bosPiece, unkPiece, unkSurface: " \u2047 " };
  const kept = { charsmap: new Uint8Array(), addDummyPrefix: false, removeExtraWhitespaces: false, escapeWhitespaces: true };
  const trainer = { algorithm: Algorithm.bpe, byteFallback: true, isWhitespaceSuffix: false, ...names };
  return { pieces, trainer, normalizer: kept, denormalizer: kept };
}

/** Fields of sentencepiece_model.proto that describe the training. */
function describeTraining(spec: WireWriter, symbols: readonly string[]): void {
  spec.float(10, characterCoverage).varint(25, 1).varint(26, 1);
  for (const symbol of symbols) spec.text(31, symbol);
}

/** The most frequent characters until they cover the text, in this order; of equal counts the lower code point is first. */
function chooseAlphabet(words: WordCounts): string[] {
  const counts = new Map<string, number>();
  let total = 0;
  for (const [word, count] of words.entries())
    for (const character of word) {
      if (character === "\0") continue;
      counts.set(character, (counts.get(character) ?? 0) + count);
      total += count;
    }
  const alphabet: string[] = [];
  let covered = 0;
  for (const [character, count] of [...counts].sort(([a, x], [b, y]) => y - x || compareCodePoints(a, b))) {
    // The reference compares numbers of 32 bits.
    if (Math.fround(covered / total) >= Math.fround(characterCoverage)) break;
    covered += count;
    if (character !== boundary) alphabet.push(character);
  }
  return alphabet;
}

function learnPieces(
  words: WordCounts,
  alphabet: readonly string[],
  free: number,
  { onProgress, limits }: TrainSentencePieceOptions,
): string[] {
  const pieces = new Pieces();
  const rules = new PieceRules();
  for (const character of alphabet) rules.addCharacter(pieces.add(character), character);
  const textOf = ([left, right]: Pair): string => pieces.text(left) + pieces.text(right);
  const lengthOf = ([left, right]: Pair): number => rules.lengthOf(left) + rules.lengthOf(right);
  const counts = new PairCounts(spell(words, pieces, limits?.characters ?? defaultMaxCharacters), {
    lengthOf: (id) => rules.lengthOf(id),
    allowed: (left, right) => rules.allowed(left, right),
    precedes: (a, b) => (lengthOf(a) - lengthOf(b) || compareCodePoints(textOf(a), textOf(b))) < 0,
  });
  const merged: string[] = [];
  while (merged.length < free) {
    const pair = counts.next(1);
    if (pair === undefined) break;
    const text = textOf(pair);
    // Another pair became this piece already. The reference does not merge the second pair.
    if (pieces.id(text) !== undefined) continue;
    const id = pieces.add(text);
    rules.addMerged(id, ...pair);
    counts.merge(...pair, id);
    merged.push(text);
    if (merged.length % 256 === 0) onProgress?.(merged.length, free);
  }
  onProgress?.(free, free);
  return merged;
}

/** The words as ids of their characters. Characters outside of the alphabet are barriers. */
function spell(words: WordCounts, pieces: Pieces, maxCharacters: number): Words {
  const { least, size } = frequentWords(words, maxCharacters);
  const [ids, weights] = [new Int32Array(size + 1), new Int32Array(size + 1)];
  let end = 1;
  for (const [word, count] of words.entries()) {
    if (count < least) continue;
    for (const character of word) {
      ids[end] = pieces.id(character) ?? barrier;
      weights[end++] = count;
    }
    end++;
  }
  return { ids: ids.subarray(0, end), weights: weights.subarray(0, end) };
}

/** The least count such that the words of at least this count have at most `maxCharacters`, and their size with one barrier each. */
function frequentWords(words: WordCounts, maxCharacters: number): { readonly least: number; readonly size: number } {
  /** Characters of the words of each count. More frequent words are few. */
  const sizes = new Float64Array(1 << 12);
  for (const [word, count] of words.entries()) {
    const at = Math.min(count, sizes.length - 1);
    sizes[at] = (sizes[at] ?? 0) + word.length + 1;
  }
  let least = sizes.length - 1;
  let size = sizes[least] ?? 0;
  while (least > 1 && size + (sizes[least - 1] ?? 0) <= maxCharacters) size += sizes[--least] ?? 0;
  return { least, size };
}

/** Orders texts by their code points, as bytes of UTF-8 are ordered. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const isHigh = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
    return isHigh(x) !== isHigh(y) ? (isHigh(x) ? 1 : -1) : x - y;
  }
  return a.length - b.length;
}
