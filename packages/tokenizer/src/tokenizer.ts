import { ensure } from "@lapidary/std";
import { badTokenizer, unknownTokenId } from "./tokenizer-errors.js";
import { forEachSegment } from "./segments.js";
import type { ControlTokens, DecodeOptions, TextStream, TextTokenizer, TurnIds } from "./text-tokenizer.js";
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
  turnNames,
} from "./vocabulary.js";
import { ByteDecoder, bytesOfCodePoint } from "./wtf8.js";

/** The parts that define a tokenizer. Ids go to the alphabet in order, then to each new merged piece. */
export interface TokenizerParts {
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
  /** Whether the first two ids after the pieces are `<start_of_turn>` and `<end_of_turn>`. */
  readonly turns?: true | undefined;
}

/** The stored form (`lapidary_tokenizer.json`). */
export interface TokenizerJSON {
  readonly format: "lapidary-bpe";
  readonly version: 1;
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
  readonly turns?: true;
}

/** The rank of a pair that does not merge. It exceeds all ranks. */
const noRank = 2 ** 31 - 1;

/** Maximum number of cached segments; a full cache is cleared. */
const cacheSize = 1 << 17;

/**
 * Byte-pair tokenizer in the manner of Gemma's SentencePiece model: each digit is a token, whitespace is kept, and bytes encode
 * characters without a piece.
 *
 * Invariants: `decode(encode(x)) === x` for every string x, lone surrogates included; `encode` never yields a control
 * token (the text `<bos>` is encoded like any other); ids do not depend on earlier calls.
 */
export class Tokenizer implements TextTokenizer {
  readonly vocabSize: number;
  readonly alphabet: readonly string[];
  readonly merges: readonly Merge[];
  readonly turns: TurnIds | undefined;
  readonly #pieces = new Pieces();
  /** `left * pairBase + right` → rank of the merge. */
  readonly #ranks = new Map<number, number>();
  /** Rank → id of the piece that the merge produces. */
  readonly #mergedIds: number[] = [];
  readonly #cache = new Map<string, readonly number[]>();

  /** @throws LapidaryError `LAP_DATA_TOKENIZER` if the parts are inconsistent */
  constructor(parts: TokenizerParts, place = "tokenizer") {
    const { vocabSize, alphabet, merges } = parts;
    [this.vocabSize, this.alphabet, this.merges] = [vocabSize, alphabet, merges];
    const pieces = this.#pieces;
    if (vocabSize < firstPieceId || vocabSize > maxVocabSize) throw badTokenizer(place, `its vocabSize is ${vocabSize}`);
    for (const [at, character] of alphabet.entries()) {
      if (!isOneCharacter(character)) throw badTokenizer(place, `alphabet[${at}] is not one character`);
      if (pieces.id(character) !== undefined) throw badTokenizer(place, `alphabet[${at}] is a duplicate`);
      pieces.add(character);
    }
    for (const [rank, [left, right]] of merges.entries()) {
      if (!pieces.has(left) || !pieces.has(right))
        throw badTokenizer(
          place,
          `merges[${rank}] joins ${left} and ${right}, but only the pieces ${firstPieceId} to ${pieces.end - 1} exist before it`,
        );
      const key = left * pairBase + right;
      if (this.#ranks.has(key)) throw badTokenizer(place, `merges[${rank}] is a duplicate of the merge of ${left} and ${right}`);
      const text = pieces.text(left) + pieces.text(right);
      if (isReservedName(text)) throw badTokenizer(place, `merges[${rank}] produces ${text}, the name of a control, byte or unused token`);
      this.#ranks.set(key, rank);
      this.#mergedIds.push(pieces.add(text));
    }
    if (pieces.end > vocabSize) throw badTokenizer(place, `its pieces need ${pieces.end} ids, its vocabSize is ${vocabSize}`);
    this.turns = parts.turns === true ? this.#turnIds(place) : undefined;
  }

  /** Ids of `text`, without `<bos>` and `<eos>`. */
  encode(text: string): number[] {
    const ids: number[] = [];
    forEachSegment(text, (start, end) => {
      for (const id of this.#encodeSegment(text.slice(start, end))) ids.push(id);
    });
    return ids;
  }

  /**
   * The text of `ids`. Bytes that are not valid UTF-8 become U+FFFD. A model may generate them; `encode` does not.
   *
   * @throws LapidaryError `LAP_DATA_TOKEN_ID` for an id outside of the vocabulary
   */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const decoder = this.decodeStream(options);
    let text = "";
    for (const id of ids) text += decoder.push(id);
    return text + decoder.end();
  }

  /** Decodes tokens one at a time. Buffers the bytes of an incomplete character. */
  decodeStream(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder(this, options.special ?? false);
  }

  /** The name of a token: its text, or the `<name>` of a control, byte or unused token. */
  name(id: number): string {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) throw unknownTokenId(id, this.vocabSize);
    if (id < firstByteId) return ensure(specialNames[id], "special token");
    if (id < firstPieceId) return byteName(id - firstByteId);
    if (this.#pieces.has(id)) return this.#pieces.text(id);
    const after = id - this.#pieces.end;
    return (this.turns === undefined ? undefined : turnNames[after]) ?? `<unused${after}>`;
  }

  get control(): ControlTokens {
    const { pad, eos, bos } = SpecialToken;
    return { pad, eos, bos, stops: this.turns === undefined ? [eos] : [this.turns.endOfTurn, eos] };
  }

  /** Control tokens that do not end a text, and ids without text. */
  get suppressedIds(): readonly number[] {
    const { pad, bos, unk } = SpecialToken;
    const withoutText = Array.from({ length: this.vocabSize - this.usedSize }, (_, i) => this.usedSize + i);
    return [pad, bos, unk, ...withoutText.filter((id) => id !== this.turns?.endOfTurn)];
  }

  /** One past the last id with text; the ids from here to `vocabSize` are turn tokens or unused. */
  get usedSize(): number {
    return this.#pieces.end;
  }

  toJSON(): TokenizerJSON {
    const { vocabSize, alphabet, merges } = this;
    return { format: "lapidary-bpe", version: 1, vocabSize, alphabet, merges, ...(this.turns === undefined ? {} : { turns: true }) };
  }

  #turnIds(place: string): TurnIds {
    const startOfTurn = this.#pieces.end;
    const endOfTurn = startOfTurn + 1;
    if (endOfTurn >= this.vocabSize) throw badTokenizer(place, "its pieces leave no ids for the turn tokens");
    const piece = turnNames.find((name) => this.#pieces.id(name) !== undefined);
    if (piece !== undefined) throw badTokenizer(place, `one of its pieces is ${piece}, the name of a turn token`);
    return { startOfTurn, endOfTurn };
  }

  #encodeSegment(segment: string): readonly number[] {
    const known = this.#cache.get(segment);
    if (known !== undefined) return known;
    const ids = this.#merge(this.#spell(segment));
    if (this.#cache.size >= cacheSize) this.#cache.clear();
    this.#cache.set(detached(segment), ids);
    return ids;
  }

  /** One id for each character, or for each byte of a character without a piece. */
  #spell(segment: string): number[] {
    const ids: number[] = [];
    for (const character of segment) {
      const id = this.#pieces.id(character);
      if (id !== undefined) ids.push(id);
      else for (const byte of bytesOfCodePoint(character.codePointAt(0) ?? 0)) ids.push(firstByteId + byte);
    }
    return ids;
  }

  /**
   * Applies the merge of the lowest rank, the leftmost first, until none applies. A segment is short, so a linear scan of the ranks of
   * adjacent pairs is fast enough. A merge changes two of them.
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
      ids[at] = ensure(this.#mergedIds[best], "merged piece");
      for (let i = at + 1; i < pairs; i++) ids[i] = ids[i + 1] ?? 0;
      ranks.copyWithin(at, at + 1, pairs);
      pairs--;
      if (at > 0) ranks[at - 1] = rank(at - 1);
      if (at < pairs) ranks[at] = rank(at);
    }
  }
}

/** Decodes tokens one at a time, to show a sample while it is generated. */
export class StreamDecoder implements TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #special: boolean;
  readonly #bytes = new ByteDecoder();

  constructor(tokenizer: Tokenizer, special: boolean) {
    [this.#tokenizer, this.#special] = [tokenizer, special];
  }

  /** The text that this token completes, often empty for a byte token. */
  push(id: number): string {
    if (id >= firstByteId && id < firstPieceId) return this.#bytes.push(id - firstByteId);
    const name = this.#tokenizer.name(id);
    const isText = id >= firstPieceId && id < this.#tokenizer.usedSize;
    return this.#bytes.end() + (isText || this.#special ? name : "");
  }

  /** The remaining text after the last token. */
  end(): string {
    return this.#bytes.end();
  }
}

function isOneCharacter(text: string): boolean {
  const codePoint = text.codePointAt(0);
  return codePoint !== undefined && text === String.fromCodePoint(codePoint) && (codePoint < 0xd800 || codePoint > 0xdfff);
}

/** A copy, because a slice would keep the whole long text in memory. */
function detached(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}
