import type { TextStream } from "../text-tokenizer.js";
import { type ModelProto, type Piece, PieceType } from "./model-proto.js";
import { spaceMarker } from "./normalizer.js";
import { spelled } from "./spelled.js";

const replacement = "\ufffd";

/**
 * Decodes pieces one at a time (`Decode` in sentencepiece_processor.cc). Consecutive bytes become characters; each byte that is not part of a
 * character becomes U+FFFD. The space that the normalizer adds before a text is removed.
 */
export class PieceDecoder implements TextStream {
  readonly #model: ModelProto;
  readonly #pieceOf: (id: number) => Piece;
  readonly #special: boolean;
  readonly #removesPrefix: boolean;
  #bytes: number[] = [];
  #isEmpty = true;
  #mayRemove = true;
  #hasRemoved = false;

  /** @param special writes control tokens by their names */
  constructor(model: ModelProto, pieceOf: (id: number) => Piece, special: boolean) {
    [this.#model, this.#pieceOf, this.#special] = [model, pieceOf, special];
    const { addDummyPrefix, removeExtraWhitespaces } = model.normalizer;
    this.#removesPrefix = addDummyPrefix || removeExtraWhitespaces;
  }

  push(id: number): string {
    const piece = this.#pieceOf(id);
    if (piece.type === PieceType.byte) {
      this.#bytes.push(byteOfName(piece.text));
      return this.#emit(this.#characters(false));
    }
    const before = this.#emit(this.#characters(true));
    if (this.#hasRemoved || !this.#isEmpty) this.#mayRemove = false;
    return before + this.#emit(this.#textOf(piece));
  }

  end(): string {
    return this.#emit(this.#characters(true));
  }

  #textOf({ text, type }: Piece): string {
    this.#hasRemoved = false;
    if (type === PieceType.control) return this.#special ? text : "";
    if (type === PieceType.unknown) return this.#special ? text : this.#model.trainer.unkSurface;
    const { removeExtraWhitespaces } = this.#model.normalizer;
    const isRemoved = this.#mayRemove && this.#removesPrefix && text.startsWith(spaceMarker);
    // If extra spaces are removed, all leading spaces are.
    this.#hasRemoved = isRemoved && !removeExtraWhitespaces;
    return (isRemoved ? text.slice(1) : text).replaceAll(spaceMarker, " ");
  }

  #emit(text: string): string {
    if (text !== "") this.#isEmpty = false;
    return text;
  }

  /** The characters of the buffered bytes. Without `all`, bytes that later bytes may complete remain in the buffer. */
  #characters(all: boolean): string {
    let text = "";
    let at = 0;
    while (at < this.#bytes.length) {
      const { length, character, needsMore } = spelled(this.#bytes, at);
      if (needsMore && !all) break;
      text += character ?? replacement;
      at += character === undefined ? 1 : length;
    }
    this.#bytes = this.#bytes.slice(at);
    return text;
  }
}

/** The byte of `<0x41>`; −1 for another name. */
export function byteOfName(name: string): number {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(name)?.[1];
  return hex === undefined ? -1 : Number.parseInt(hex, 16);
}
