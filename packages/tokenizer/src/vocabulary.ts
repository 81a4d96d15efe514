import { assert } from "@lapidary/std";
import { badVocabularySize } from "./tokenizer-errors.js";

/**
 * The order of ids; Gemma's control tokens come first:
 *
 *     0      1      2      3      4 … 259            260 …                    … vocabSize − 1
 *     <pad>  <eos>  <bos>  <unk>  <0x00> … <0xFF>    alphabet │ merged pieces │ <unused0> …
 */
export const SpecialToken = { pad: 0, eos: 1, bos: 2, unk: 3 } as const;
export type SpecialToken = (typeof SpecialToken)[keyof typeof SpecialToken];

export const specialNames = ["<pad>", "<eos>", "<bos>", "<unk>"] as const;

/** The control tokens of dialogues. A tokenizer that has them gives them the first two ids after its pieces. */
export const turnNames = ["<start_of_turn>", "<end_of_turn>"] as const;

/** Id of byte token `<0x00>`. */
export const firstByteId = specialNames.length;
/** Id of the first character of the alphabet: smaller ids never merge. */
export const firstPieceId = firstByteId + 256;

/** The key of a pair is `left * pairBase + right`. It exceeds the number of ids, and the product is exact. */
export const pairBase = 2 ** 20;
export const maxVocabSize = pairBase;

/**
 * Checks the number of ids that a job requests for a trained tokenizer.
 *
 * @throws LapidaryError `LAP_DATA_SETTING`
 */
export function checkVocabSize(vocabSize: number): void {
  if (!Number.isInteger(vocabSize) || vocabSize < firstPieceId || vocabSize > maxVocabSize)
    throw badVocabularySize(vocabSize, firstPieceId, maxVocabSize);
}

/** `<0x0A>`, as SentencePiece names byte tokens. */
export function byteName(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

/** One merge: the ids of two adjacent pieces that become one. Its rank is its index in the list. */
export type Merge = readonly [left: number, right: number];

/** The pieces of an alphabet and its merges. Two merges may produce the same piece ("a"+"bc", "ab"+"c"): it has one id. */
export class Pieces {
  readonly #texts: string[] = [];
  readonly #ids = new Map<string, number>();

  /** Id of `text`; adds the piece if it is new. */
  add(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = firstPieceId + this.#texts.length;
    this.#texts.push(text);
    this.#ids.set(text, id);
    return id;
  }

  /** Id of `text` if it is a piece. */
  id(text: string): number | undefined {
    return this.#ids.get(text);
  }

  /** Whether `id` is a character or merged piece that exists so far. */
  has(id: number): boolean {
    return id >= firstPieceId && id < this.end;
  }

  text(id: number): string {
    const text = this.#texts[id - firstPieceId];
    assert(text !== undefined, "the piece exists", id);
    return text;
  }

  /** One past the last id. */
  get end(): number {
    return firstPieceId + this.#texts.length;
  }
}

/** Whether a piece would have the name of a control, byte or unused token. */
export function isReservedName(text: string): boolean {
  return /^<(pad|eos|bos|unk|unused\d+|0x[0-9A-F]{2})>$/.test(text);
}
