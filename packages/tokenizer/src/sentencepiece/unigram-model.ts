import { badTokenizer } from "../tokenizer-errors.js";
import { Algorithm, PieceType, readModelProto, writeModelProto } from "./model-proto.js";
import { SentencePieceTokenizer } from "./sentencepiece-tokenizer.js";

/** Added to the count of each piece, so that a piece that the texts lack has a score. */
const smoothing = 0.1;

/**
 * The `.model` file of a unigram model with the pieces of another model. The score of a piece is the logarithm of its share of the tokens that the other
 * model makes of the texts.
 *
 * @param bytes of the other model
 * @param place of the other model, for errors
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED`, `LAP_DATA_TOKENIZER`
 */
export function asUnigram(bytes: Uint8Array, place: string, texts: Iterable<string>): Uint8Array {
  const tokenizer = new SentencePieceTokenizer(bytes, place);
  const counts = new Float64Array(tokenizer.vocabSize).fill(smoothing);
  let total = 0;
  for (const text of texts)
    for (const id of tokenizer.encode(text)) {
      counts[id] = (counts[id] ?? 0) + 1;
      total++;
    }
  if (total === 0) throw badTokenizer(place, "the texts have no tokens");
  const model = readModelProto(bytes, place);
  const pieces = model.pieces.map((piece, id) =>
    piece.type === PieceType.normal ? { ...piece, score: Math.log((counts[id] ?? smoothing) / total) } : piece,
  );
  return writeModelProto({ ...model, pieces, trainer: { ...model.trainer, algorithm: Algorithm.unigram } }, () => undefined);
}
