import { must } from "@lapidary/std";
import { badTokenizer, unknownTokenId } from "../data-errors.js";
import { cuts } from "./cuts.js";
import type { ControlTokens, DecodeOptions, TextStream, TextTokenizer } from "./text-tokenizer.js";
import {
  byteName,
  firstByteId,
  firstPieceId,
  isReservedName,
  type Merge,
  maxVocabSize,
  Pieces,
  pairBase,
  SpecialToken,
  specialNames,
} from "./vocabulary.js";
import { ByteDecoder, bytesOfCodePoint } from "./wtf8.js";

/** What a tokenizer is, all else follows: ids are given to the alphabet in order, then to each new merged piece. */
export interface TokenizerParts {
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
}

/** The stored form (`tokenizer.json` of a dataset). */
export interface TokenizerJSON {
  readonly format: "lapidary-bpe";
  readonly version: 1;
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
}

/** A pair that no merge joins. Ranks are below the largest vocabulary. */
const noRank = 2 ** 31 - 1;

/** So many cuts are remembered with their ids before the memory starts anew. */
const cacheSize = 1 << 17;

/**
 * Byte-pair tokenizer in the manner of Gemma's SentencePiece model: digits one by one, whitespace kept, bytes for what
 * has no piece of its own.
 *
 * Invariants: `decode(encode(x)) === x` for every string x, lone surrogates included; `encode` never yields a control
 * token (the text `<bos>` is spelt like any other); ids do not depend on what was encoded before.
 */
export class Tokenizer implements TextTokenizer {
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
  readonly #pieces = new Pieces();
  /** `left * pairBase + right` → rank of the merge. */
  readonly #ranks = new Map<number, number>();
  /** Rank → id of the piece that the merge makes. */
  readonly #made: number[] = [];
  readonly #cache = new Map<string, readonly number[]>();

  /** @throws LapidaryError `LAP_DATA_TOKENIZER` when the parts contradict one another */
  constructor(parts: TokenizerParts, place = "tokenizer") {
    const { vocabSize, alphabet, merges } = parts;
    [this.vocabSize, this.alphabet, this.merges] = [vocabSize, alphabet, merges];
    const pieces = this.#pieces;
    if (vocabSize < firstPieceId || vocabSize > maxVocabSize) throw badTokenizer(place, `its vocabSize is ${vocabSize}`);
    for (const [at, character] of alphabet.entries()) {
      if (!isOneCharacter(character)) throw badTokenizer(place, `alphabet[${at}] is not one character`);
      if (pieces.id(character) !== undefined) throw badTokenizer(place, `alphabet[${at}] stands there twice`);
      pieces.add(character);
    }
    for (const [rank, [left, right]] of merges.entries()) {
      if (!pieces.has(left) || !pieces.has(right))
        throw badTokenizer(
          place,
          `merges[${rank}] joins ${left} and ${right}, but only the pieces ${firstPieceId} to ${pieces.end - 1} exist before it`,
        );
      const key = left * pairBase + right;
      if (this.#ranks.has(key)) throw badTokenizer(place, `merges[${rank}] joins ${left} and ${right} a second time`);
      const text = pieces.text(left) + pieces.text(right);
      if (isReservedName(text)) throw badTokenizer(place, `merges[${rank}] makes ${text}, the name of a control, byte or unused token`);
      this.#ranks.set(key, rank);
      this.#made.push(pieces.add(text));
    }
    if (pieces.end > vocabSize) throw badTokenizer(place, `its pieces need ${pieces.end} ids, its vocabSize is ${vocabSize}`);
  }

  /** Ids of `text`, without `<bos>` and `<eos>`. */
  encode(text: string): number[] {
    const ids: number[] = [];
    cuts(text, (start, end) => {
      for (const id of this.#encodeCut(text.slice(start, end))) ids.push(id);
    });
    return ids;
  }

  /**
   * The text of `ids`. Bytes that form no character become U+FFFD: a model may write such, `encode` does not.
   *
   * @throws LapidaryError `LAP_DATA_TOKEN_ID` for an id outside of the vocabulary
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const decoder = this.decodeStream(options);
    let text = "";
    for (const id of ids) text += decoder.push(id);
    return text + decoder.end();
  }

  /** Decodes tokens as they come, holding back the bytes of a character until it is whole. */
  decodeStream(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder(this, options.special ?? false);
  }

  /** How a token is called: its text, or the `<name>` of a control, byte or unused token. */
  name(id: number): string {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) throw unknownTokenId(id, this.vocabSize);
    if (id < firstByteId) return must(specialNames[id], "special token");
    if (id < firstPieceId) return byteName(id - firstByteId);
    return this.#pieces.has(id) ? this.#pieces.text(id) : `<unused${id - this.#pieces.end}>`;
  }

  get control(): ControlTokens {
    const { pad, eos, bos } = SpecialToken;
    return { pad, eos, bos, stops: [eos] };
  }

  /** Control tokens, and ids that stand for no text. */
  get neverDrawn(): readonly number[] {
    const { pad, bos, unk } = SpecialToken;
    return [pad, bos, unk, ...Array.from({ length: this.vocabSize - this.usedSize }, (_, i) => this.usedSize + i)];
  }

  /** One past the last id that stands for text; the ids from here to `vocabSize` are unused. */
  get usedSize(): number {
    return this.#pieces.end;
  }

  toJSON(): TokenizerJSON {
    return { format: "lapidary-bpe", version: 1, vocabSize: this.vocabSize, alphabet: this.alphabet, merges: this.merges };
  }

  #encodeCut(cut: string): readonly number[] {
    const known = this.#cache.get(cut);
    if (known !== undefined) return known;
    const ids = this.#merge(this.#spell(cut));
    if (this.#cache.size >= cacheSize) this.#cache.clear();
    this.#cache.set(detached(cut), ids);
    return ids;
  }

  /** One id a character, or one a byte where the character has no piece. */
  #spell(cut: string): number[] {
    const ids: number[] = [];
    for (const character of cut) {
      const id = this.#pieces.id(character);
      if (id !== undefined) ids.push(id);
      else for (const byte of bytesOfCodePoint(character.codePointAt(0) ?? 0)) ids.push(firstByteId + byte);
    }
    return ids;
  }

  /**
   * Applies the merge of the lowest rank, the leftmost of them, until none applies. A cut is short, so a scan will do; it scans the ranks
   * of neighbours, of which a merge changes two.
   */
  #merge(ids: number[]): number[] {
    const rank = (at: number): number => this.#ranks.get((ids[at] ?? 0) * pairBase + (ids[at + 1] ?? 0)) ?? noRank;
    let pairs = ids.length - 1;
    const ranks = new Int32Array(Math.max(0, pairs));
    for (let i = 0; i < pairs; i++) ranks[i] = rank(i);
    for (;;) {
      let best = noRank;
      let at = -1;
      for (let i = 0; i < pairs; i++) {
        const each = ranks[i] ?? noRank;
        if (each < best) {
          best = each;
          at = i;
        }
      }
      if (at < 0) {
        ids.length = pairs + 1;
        return ids;
      }
      ids[at] = must(this.#made[best], "merged piece");
      for (let i = at + 1; i < pairs; i++) ids[i] = ids[i + 1] ?? 0;
      ranks.copyWithin(at, at + 1, pairs);
      pairs--;
      if (at > 0) ranks[at - 1] = rank(at - 1);
      if (at < pairs) ranks[at] = rank(at);
    }
  }
}

/** Text of tokens that arrive one at a time: for samples that are shown while they are drawn. */
export class StreamDecoder implements TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #special: boolean;
  readonly #bytes = new ByteDecoder();

  constructor(tokenizer: Tokenizer, special: boolean) {
    [this.#tokenizer, this.#special] = [tokenizer, special];
  }

  /** The text that this token completes, often none for a byte token. */
  push(id: number): string {
    if (id >= firstByteId && id < firstPieceId) return this.#bytes.push(id - firstByteId);
    const name = this.#tokenizer.name(id);
    const isText = id >= firstPieceId && id < this.#tokenizer.usedSize;
    return this.#bytes.end() + (isText || this.#special ? name : "");
  }

  /** What is left when no more tokens come. */
  end(): string {
    return this.#bytes.end();
  }
}

function isOneCharacter(text: string): boolean {
  const codePoint = text.codePointAt(0);
  return codePoint !== undefined && text === String.fromCodePoint(codePoint) && (codePoint < 0xd800 || codePoint > 0xdfff);
}

/** A copy that does not keep alive the long text that `text` is a slice of. */
function detached(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}
