import { badTokenizer } from "../tokenizer-errors.js";
import { type BytesField, readFields, WireError, type WireField, WireWriter } from "./wire.js";

/** The types of pieces in sentencepiece_model.proto. */
export const PieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
export type PieceType = (typeof PieceType)[keyof typeof PieceType];

export interface Piece {
  readonly text: string;
  /** Of a piece that merges: higher scores merge first. */
  readonly score: number;
  readonly type: PieceType;
}

/** Whether a text can have the piece. */
export const isInTexts = ({ type }: Piece): boolean =>
  type === PieceType.normal || type === PieceType.userDefined || type === PieceType.unused;

export const Algorithm = { unigram: 1, bpe: 2, word: 3, char: 4 } as const;

/** What defines ids and texts in a SentencePiece `.model` (sentencepiece_model.proto). The id of a piece is its index. */
export interface ModelProto {
  readonly pieces: readonly Piece[];
  readonly trainer: TrainerSpec;
  readonly normalizer: NormalizerSpec;
  /** Applied to decoded text. */
  readonly denormalizer: NormalizerSpec;
}

interface TrainerSpec {
  readonly algorithm: number;
  readonly byteFallback: boolean;
  readonly isWhitespaceSuffix: boolean;
  readonly unkPiece: string;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  /** The text of an unknown token. */
  readonly unkSurface: string;
}

export interface NormalizerSpec {
  readonly charsmap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The defaults of sentencepiece_model.proto. */
const trainerDefaults: TrainerSpec = {
  algorithm: Algorithm.unigram,
  byteFallback: false,
  isWhitespaceSuffix: false,
  unkPiece: "<unk>",
  bosPiece: "<s>",
  eosPiece: "</s>",
  padPiece: "<pad>",
  unkSurface: " \u2047 ",
};
const normalizerDefaults: NormalizerSpec = {
  charsmap: new Uint8Array(),
  addDummyPrefix: true,
  removeExtraWhitespaces: true,
  escapeWhitespaces: true,
};

/**
 * Reads a `.model` file.
 *
 * @param place the file, for errors
 * @throws LapidaryError `LAP_DATA_TOKENIZER`
 */
export function readModelProto(bytes: Uint8Array, place: string): ModelProto {
  if (Buffer.from(bytes.subarray(0, 40)).toString("latin1").startsWith("version https://git-lfs"))
    throw badTokenizer(place, "the file is a pointer of Git LFS", "run `git lfs pull` in the directory of the checkpoint");
  const pieces: Piece[] = [];
  const [trainer, normalizer, denormalizer] = [{ ...trainerDefaults }, { ...normalizerDefaults }, { ...normalizerDefaults }];
  try {
    for (const field of readFields(bytes)) {
      if (field.kind !== "bytes") continue;
      if (field.number === 1) pieces.push(readPiece(field));
      else if (field.number === 2) for (const each of field.fields()) setTrainer(trainer, each);
      else if (field.number === 3) for (const each of field.fields()) setNormalizer(normalizer, each);
      else if (field.number === 5) for (const each of field.fields()) setNormalizer(denormalizer, each);
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw badTokenizer(place, `it is not a SentencePiece model: ${error.message}`);
  }
  if (pieces.length === 0) throw badTokenizer(place, "it is not a SentencePiece model: it has no pieces");
  return { pieces, trainer, normalizer, denormalizer };
}

const trainerFields: Readonly<Record<number, (spec: Mutable<TrainerSpec>, field: WireField) => void>> = {
  3: (spec, field) => (spec.algorithm = integer(field)),
  24: (spec, field) => (spec.isWhitespaceSuffix = integer(field) !== 0),
  35: (spec, field) => (spec.byteFallback = integer(field) !== 0),
  44: (spec, field) => (spec.unkSurface = text(field)),
  45: (spec, field) => (spec.unkPiece = text(field) || trainerDefaults.unkPiece),
  46: (spec, field) => (spec.bosPiece = text(field) || trainerDefaults.bosPiece),
  47: (spec, field) => (spec.eosPiece = text(field) || trainerDefaults.eosPiece),
  48: (spec, field) => (spec.padPiece = text(field) || trainerDefaults.padPiece),
};

const setTrainer = (spec: Mutable<TrainerSpec>, field: WireField): void => trainerFields[field.number]?.(spec, field);

function setNormalizer(spec: Mutable<NormalizerSpec>, field: WireField): void {
  if (field.number === 2) spec.charsmap = bytesOf(field);
  else if (field.number === 3) spec.addDummyPrefix = integer(field) !== 0;
  else if (field.number === 4) spec.removeExtraWhitespaces = integer(field) !== 0;
  else if (field.number === 5) spec.escapeWhitespaces = integer(field) !== 0;
}

function readPiece(message: BytesField): Piece {
  const piece: Mutable<Piece> = { text: "", score: 0, type: PieceType.normal };
  for (const field of message.fields()) {
    if (field.number === 1) piece.text = text(field);
    else if (field.number === 2 && field.kind === "float") piece.score = field.value;
    else if (field.number === 3) piece.type = pieceType(integer(field));
  }
  return piece;
}

const pieceTypes = Object.values(PieceType);

function pieceType(value: number): PieceType {
  const type = pieceTypes.find((each) => each === value);
  if (type === undefined) throw new WireError(`${value} is not a type of pieces`);
  return type;
}

function integer(field: WireField): number {
  if (field.kind !== "varint") throw new WireError(`field ${field.number} is not a number`);
  return field.value;
}

function bytesOf(field: WireField): Uint8Array {
  if (field.kind !== "bytes") throw new WireError(`field ${field.number} is not a string`);
  return field.value;
}

function text(field: WireField): string {
  if (field.kind !== "bytes") throw new WireError(`field ${field.number} is not a string`);
  const decoded = field.text;
  if (decoded.includes("\ufffd") && !Buffer.from(decoded, "utf8").equals(field.value))
    throw new WireError(`field ${field.number} is not UTF-8 text`);
  return decoded;
}

/** The `.model` file of a BPE model, which SentencePiece loads. `details` are fields of the trainer that only describe the training. */
export function writeModelProto({ pieces, trainer, normalizer }: ModelProto, details: (spec: WireWriter) => void): Uint8Array {
  const model = new WireWriter();
  for (const { text: piece, score, type } of pieces) {
    const message = new WireWriter().text(1, piece).float(2, score);
    if (type !== PieceType.normal) message.varint(3, type);
    model.bytes(1, message.end());
  }
  const spec = new WireWriter().varint(3, trainer.algorithm).varint(4, pieces.length);
  spec.varint(24, Number(trainer.isWhitespaceSuffix)).varint(35, Number(trainer.byteFallback));
  const names = [trainer.unkPiece, trainer.bosPiece, trainer.eosPiece, trainer.padPiece];
  for (const [i, name] of names.entries())
    spec.varint(
      40 + i,
      pieces.findIndex((piece) => piece.text === name),
    );
  for (const [i, name] of names.entries()) spec.text(45 + i, name);
  details(spec.text(44, trainer.unkSurface));
  const rules = new WireWriter().text(1, normalizer.charsmap.length === 0 ? "identity" : "user_defined");
  rules.bytes(2, normalizer.charsmap).varint(3, Number(normalizer.addDummyPrefix));
  rules.varint(4, Number(normalizer.removeExtraWhitespaces)).varint(5, Number(normalizer.escapeWhitespaces));
  return model.bytes(2, spec.end()).bytes(3, rules.end()).end();
}
