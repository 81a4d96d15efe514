import { SentencePieceTokenizer, trainSentencePiece } from "@lapidary/tokenizer";
import { z } from "zod";
import { fixtureBytes, fixtureFiles, fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const named = z.object({ name: z.string(), text: z.string() });
const list = z.object({ model: z.number(), ids: z.array(z.number()) });
const piece = z.object({ piece: z.string(), type: z.string() });

/** The ids of texts under each SentencePiece model. */
export const encode: JudgeTask = {
  name: "encode",
  *answers(fixtures) {
    const texts = fixtureRows(fixtures, "tokenizer/encode.jsonl", named);
    for (const { file, number } of numbered(fixtures, /^spm-(\d+)\.model$/)) {
      const tokenizer = modelOf(fixtures, file);
      for (const { name, text } of texts) yield { name, model: String(number), ids: tokenizer.encode(text) };
    }
  },
};

/** The texts of lists of ids. */
export const decode: JudgeTask = {
  name: "decode",
  *answers(fixtures) {
    const tokenizers = new Map<number, SentencePieceTokenizer>();
    for (const [line, { model, ids }] of fixtureRows(fixtures, "tokenizer/decode.jsonl", list).entries()) {
      const tokenizer = tokenizers.get(model) ?? modelOf(fixtures, `tokenizer/spm-${model}.model`);
      tokenizers.set(model, tokenizer);
      yield { line, text: tokenizer.decode(ids) };
    }
  },
};

/** The pieces of a model that is trained on the corpus, with the size and the symbols of each model of the reference. */
export const trained: JudgeTask = {
  name: "trained",
  *answers(fixtures) {
    const [corpus, heldOut] = ["corpus", "heldout"].map((name) => fixtureBytes(fixtures, `tokenizer/${name}.txt`).toString("utf8"));
    for (const { file, number } of numbered(fixtures, /^pieces-(\d+)\.jsonl$/)) {
      const symbols = fixtureRows(fixtures, file, piece).flatMap(({ piece: symbol, type }) => (type === "user" ? [symbol] : []));
      const { tokenizer } = trainSentencePiece([corpus ?? ""], { vocabSize: number, symbols });
      const pieces = tokenizer.model.pieces.map(({ text }) => text);
      yield { size: number, pieces, heldout_tokens: tokenizer.encode(heldOut ?? "").length };
    }
  },
};

/** The files whose names match, with the number in the name, in ascending order. */
const numbered = (fixtures: string, name: RegExp): { readonly file: string; readonly number: number }[] =>
  fixtureFiles(fixtures, "tokenizer", name)
    .map((file) => ({ file, number: Number(/\d+/.exec(file)?.[0]) }))
    .sort((a, b) => a.number - b.number);

const modelOf = (fixtures: string, file: string): SentencePieceTokenizer => new SentencePieceTokenizer(fixtureBytes(fixtures, file), file);
