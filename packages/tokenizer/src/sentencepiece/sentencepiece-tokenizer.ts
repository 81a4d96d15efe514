import { ensure } from "@lapidary/std";
import { badTokenizer, unknownTokenId, unsupportedTokenizer } from "../tokenizer-errors.js";
import type { ControlTokens, DecodeOptions, TextStream, TextTokenizer } from "../text-tokenizer.js";
import { controlTokensOf, type ControlFiles, withTokenNames } from "../huggingface/control-tokens.js";
import { checkListedTokens } from "../huggingface/listed-tokens.js";
import { BpeSegmenter } from "./bpe.js";
import { Algorithm, type ModelProto, type Piece, PieceType, readModelProto } from "./model-proto.js";
import { normalizerOf, spaceMarker } from "./normalizer.js";
import { byteOfName, PieceDecoder } from "./piece-decoder.js";
import { PieceIds } from "./piece-ids.js";
import { PieceTrie } from "./piece-trie.js";
import type { Segmenter } from "./segmenter.js";
import { TextUnits } from "./text-units.js";
import { UnigramSegmenter } from "./unigram.js";

/**
 * The tokenizer of a SentencePiece `.model` file, with the ids and texts of SentencePiece:
 *
 *     text ─► normalize, spaces as ▁ ─► segment into pieces ─► bytes or <unk> for characters without a piece ─► ids
 *
 * A lone surrogate of the text is U+FFFD, because UTF-8 cannot represent it. Text never becomes a control token.
 */
export class SentencePieceTokenizer implements TextTokenizer {
  readonly vocabSize: number;
  readonly control: ControlTokens;
  readonly suppressedIds: readonly number[];
  readonly model: ModelProto;
  readonly #normalize: (text: string) => string;
  /** What is written for a space. */
  readonly #space: number;
  readonly #units = new TextUnits();
  readonly #segmenter: Segmenter;
  readonly #unknown: number;
  /** Ids of the bytes; undefined if characters without a piece are unknown tokens. */
  readonly #bytes: Int32Array | undefined;

  /**
   * @param bytes of the `.model` file
   * @param files the other files of the checkpoint, which can name other control tokens
   * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`, `LAP_DATA_TOKENIZER`
   */
  constructor(bytes: Uint8Array, place = "tokenizer.model", files: ControlFiles = {}) {
    const model = readModelProto(bytes, place);
    this.model = model;
    const { pieces, trainer } = model;
    this.vocabSize = pieces.length;
    const all = idsOf(pieces, place);
    this.#unknown = ensure(
      pieces.findIndex(({ type }) => type === PieceType.unknown),
      "unknown piece",
    );
    this.#bytes = bytesOf(model, place);
    const symbols = new PieceTrie();
    for (const [id, { text, type }] of pieces.entries()) if (type === PieceType.userDefined) symbols.add(text, id);
    this.#normalize = normalizerOf({ spec: model.normalizer, isSuffix: trainer.isWhitespaceSuffix, symbols, place });
    this.#space = (model.normalizer.escapeWhitespaces ? spaceMarker : " ").charCodeAt(0);
    this.#segmenter = segmenterOf(model, all, symbols, place);
    if (model.denormalizer.charsmap.length > 0) throw unsupportedTokenizer(place, "it has a denormalizer, which changes the decoded text");
    checkListedTokens(files, (token) => all.get(token), place);
    this.control = controlTokensOf({
      idOf: (token) => all.get(token),
      vocabSize: this.vocabSize,
      template: undefined,
      files: withTokenNames(files, namesOf(model, all)),
      file: place,
    });
    const stops = new Set(this.control.stops);
    const isText = ({ type }: Piece): boolean => type === PieceType.normal || type === PieceType.userDefined || type === PieceType.byte;
    this.suppressedIds = Array.from(pieces.keys()).filter((id) => !isText(ensure(pieces[id], "piece")) && !stops.has(id));
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    const bytes = this.#bytes;
    let unknownEnd = -1;
    this.#segmenter.segment(this.#units.read(this.#normalize(text), this.#space), ids, (character) => {
      if (bytes !== undefined) for (const byte of Buffer.from(character, "utf8")) ids.push(bytes[byte] ?? this.#unknown);
      // Consecutive unknown characters are one token.
      else if (ids.length !== unknownEnd) unknownEnd = ids.push(this.#unknown);
    });
    return ids;
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const decoder = this.decodeStream(options);
    const texts: string[] = [];
    for (const id of ids) texts.push(decoder.push(id));
    texts.push(decoder.end());
    return texts.join("");
  }

  decodeStream({ special = false }: DecodeOptions = {}, after: readonly number[] = []): TextStream {
    const decoder = new PieceDecoder(this.model, (id) => this.#piece(id), special);
    for (const id of after) decoder.push(id);
    return decoder;
  }

  #piece(id: number): Piece {
    const piece = this.model.pieces[id];
    if (piece === undefined) throw unknownTokenId(id, this.vocabSize);
    return piece;
  }
}

function segmenterOf({ pieces, trainer }: ModelProto, ids: PieceIds, symbols: PieceTrie, place: string): Segmenter {
  if (trainer.algorithm === Algorithm.bpe) return new BpeSegmenter(pieces, ids, symbols);
  if (trainer.algorithm === Algorithm.unigram) return new UnigramSegmenter(pieces);
  throw unsupportedTokenizer(place, `its model type is ${trainer.algorithm}; supported are 1 (unigram) and 2 (BPE)`);
}

/** The ids of all pieces by their texts. Checks what SentencePiece checks when it loads a model. */
function idsOf(pieces: readonly Piece[], place: string): PieceIds {
  let [id, unknowns] = [0, 0];
  for (const { text, score, type } of pieces) {
    if (text === "") throw badTokenizer(place, `piece ${id} is empty`);
    if (!Number.isFinite(score)) throw badTokenizer(place, `the score of piece ${id} is ${score}`);
    if (type === PieceType.unknown) unknowns++;
    id++;
  }
  const ids = new PieceIds(pieces);
  if (ids.duplicate !== undefined) {
    const [first, second] = ids.duplicate;
    throw badTokenizer(place, `the pieces ${first} and ${second} are both ${JSON.stringify(pieces[first]?.text)}`);
  }
  if (unknowns !== 1) throw badTokenizer(place, `it has ${unknowns} unknown pieces, not one`);
  return ids;
}

function bytesOf({ pieces, trainer }: ModelProto, place: string): Int32Array | undefined {
  const ids = new Int32Array(256).fill(-1);
  for (const [id, { text, type }] of pieces.entries()) {
    if (type !== PieceType.byte) continue;
    const byte = byteOfName(text);
    if (byte < 0) throw badTokenizer(place, `the byte piece ${id} has the name ${JSON.stringify(text)}`);
    if (!trainer.byteFallback) throw badTokenizer(place, `it has the byte piece ${text}, but byte_fallback is false`);
    ids[byte] = id;
  }
  const missing = ids.indexOf(-1);
  if (trainer.byteFallback && missing >= 0) throw badTokenizer(place, `it has no piece for the byte ${missing}`);
  return trainer.byteFallback ? ids : undefined;
}

/** The control tokens that the trainer named, if the model has them. */
function namesOf({ pieces, trainer }: ModelProto, all: PieceIds): Readonly<Record<string, string>> {
  const named = { bos_token: trainer.bosPiece, eos_token: trainer.eosPiece, pad_token: trainer.padPiece };
  return Object.fromEntries(Object.entries(named).filter(([, name]) => pieces[all.get(name) ?? -1]?.type === PieceType.control));
}
