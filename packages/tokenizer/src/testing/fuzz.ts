import { ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { type FuzzTarget, hostileBytes } from "@lapidary/std/testing";
import fc from "fast-check";
import { SentencePieceTokenizer } from "../sentencepiece/sentencepiece-tokenizer.js";
import { WireWriter } from "../sentencepiece/wire.js";

interface SmallPiece {
  readonly text: string;
  readonly score?: number;
  readonly type?: number;
}

/**
 * A `.model` file with these pieces, a BPE model without normalization by default.
 *
 * @param trainer writes more fields of the trainer
 */
export function smallModel(pieces: readonly SmallPiece[], trainer: (spec: WireWriter) => unknown = () => undefined): Uint8Array {
  const model = new WireWriter();
  for (const { text, score = 0, type = 1 } of pieces) model.bytes(1, new WireWriter().text(1, text).float(2, score).varint(3, type).end());
  const spec = new WireWriter().varint(3, 2);
  trainer(spec);
  const rules = new WireWriter().varint(3, 0).varint(4, 0);
  return model.bytes(2, spec.end()).bytes(3, rules.end()).end();
}

const control = [
  { text: "<unk>", type: 2 },
  { text: "<s>", type: 3 },
  { text: "</s>", type: 3 },
];

/** Models with pieces of few characters, of all types, BPE and unigram, with and without rules of a normalizer. */
const models = fc
  .record({
    pieces: fc.uniqueArray(
      fc.record({
        text: fc.string({ unit: fc.constantFrom("a", "b", "\u2581", "\n", "😀"), minLength: 1, maxLength: 4 }),
        score: fc.double({ min: -9, max: 0, noNaN: true }),
        type: fc.constantFrom(1, 1, 1, 4, 5),
      }),
      { selector: ({ text }) => text, maxLength: 12 },
    ),
    algorithm: fc.constantFrom(1, 2),
    spaces: fc.boolean(),
    charsmap: fc.uint8Array({ maxLength: 24 }),
  })
  .map(({ pieces, algorithm, spaces, charsmap }) => {
    const units = Buffer.concat([Buffer.from([16, 0, 0, 0]), charsmap]);
    const rules = new WireWriter()
      .bytes(2, charsmap.length < 16 ? Buffer.of() : units)
      .varint(3, Number(spaces))
      .varint(4, Number(spaces));
    const model = smallModel([...control, ...pieces], (spec) => spec.varint(3, algorithm));
    return Buffer.concat([model, new WireWriter().bytes(3, rules.end()).end()]);
  });

const text = "ab  \u2581a\nb😀\0\ud800 ".repeat(3);

/** Reads a model, encodes a text and decodes the ids. @returns whether the bytes were a model; otherwise the reader threw a LapidaryError */
export function encodesOrRejects(bytes: Uint8Array): boolean {
  let tokenizer: SentencePieceTokenizer;
  try {
    tokenizer = new SentencePieceTokenizer(bytes, "fuzz");
  } catch (error) {
    ok(error instanceof LapidaryError, error instanceof Error ? (error.stack ?? error.message) : String(error));
    return false;
  }
  const ids = tokenizer.encode(text);
  ok(
    ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize),
    `ids outside of the vocabulary: ${ids.join()}`,
  );
  tokenizer.decode(ids, { special: true });
  return true;
}

export const modelFuzzTarget: FuzzTarget = {
  name: "sentencepiece-model",
  property: fc.property(hostileBytes(models), (bytes) => void encodesOrRejects(bytes)) as fc.IRawProperty<unknown>,
};
