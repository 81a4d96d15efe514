import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { hasCode } from "../../testing/workspace.js";
import { PieceType } from "../model-proto.js";
import { SentencePieceTokenizer } from "../sentencepiece-tokenizer.js";
import { SentenceWords } from "./sentence-words.js";
import { gemmaSymbols, trainSentencePiece } from "./train-sentencepiece.js";

const text = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
const piecesOf = ({ model }: SentencePieceTokenizer): string[] => model.pieces.map(({ text: piece }) => piece);

describe("training of a SentencePiece model", function () {
  this.timeout(60_000);
  const { tokenizer, file } = trainSentencePiece([text], { vocabSize: 700 });

  it("control tokens, Gemma's symbols and bytes come before merged pieces, and characters are last", () => {
    const pieces = piecesOf(tokenizer);
    strictEqual(pieces.length, 700);
    deepStrictEqual(pieces.slice(0, 6), ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]);
    strictEqual(pieces[4 + gemmaSymbols.length], "<0x00>");
    ok((pieces[4 + gemmaSymbols.length + 256]?.length ?? 0) > 1);
    strictEqual(pieces.at(-1)?.length, 1);
    deepStrictEqual(tokenizer.control, { bos: 2, eos: 1, pad: 0, stops: [1] });
  });

  it("the written file is read as the same tokenizer", () => {
    const read = new SentencePieceTokenizer(file);
    deepStrictEqual(read.model, tokenizer.model);
    deepStrictEqual(read.encode(text), tokenizer.encode(text));
  });

  it("any text without U+2581 is restored, and dialogue tokens of a text are symbols", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (any) => {
        const kept = any.replaceAll("\u2581", "_").replace(/\p{Cs}/gu, "\ufffd");
        strictEqual(tokenizer.decode(tokenizer.encode(kept)), kept);
      }),
    );
    deepStrictEqual(tokenizer.encode("<start_of_turn>\n\n"), [4, 7]);
  });

  it("no piece has two digits, a space inside, or letters of two scripts", () => {
    const mixed = trainSentencePiece([`${"12 ab 12 абв abаб a_b ".repeat(20)}\nx `], { vocabSize: 600, symbols: [] });
    for (const { text: piece, type } of mixed.tokenizer.model.pieces)
      if (type === PieceType.normal) ok(!/\d\d|.\u2581|[a-z][а-я]|[а-я][a-z]|[a-z]_|_[a-z]/.test(piece), piece);
  });

  it("of equal counts the shorter pair merges first, then the lower code points", () => {
    const merged = trainSentencePiece(["x qrs qrs zz zz"], { vocabSize: 260 + 6 + 4, symbols: [] });
    deepStrictEqual(piecesOf(merged.tokenizer).slice(260, 264), ["qr", "zz", "qrs", "\u2581zz"]);
  });

  it("the order of texts and their division into lines have no influence", () => {
    const lines = text.split("\n");
    const other = trainSentencePiece(lines.reverse(), { vocabSize: 700 });
    deepStrictEqual(Buffer.from(other.file), Buffer.from(file));
  });

  it("counts on disk give the same model, and rare words beyond the limit of characters are left out", () => {
    const onDisk = trainSentencePiece([text], { vocabSize: 700, limits: { words: 100 } });
    deepStrictEqual(Buffer.from(onDisk.file), Buffer.from(file));
    const few = trainSentencePiece(["x common common rarest"], { vocabSize: 300, symbols: [], limits: { characters: 12 } });
    ok(piecesOf(few.tokenizer).includes("\u2581common") && !piecesOf(few.tokenizer).includes("ra"));
  });

  it("ids that the texts do not fill are control tokens that no text has", () => {
    const few = trainSentencePiece(["ab ab"], { vocabSize: 300, symbols: [] }).tokenizer;
    strictEqual(few.vocabSize, 300);
    const unused = piecesOf(few).findIndex((piece) => piece === "<unused0>");
    ok(few.suppressedIds.includes(unused) && !few.encode("<unused0>").includes(unused));
  });

  it("a vocabulary that cannot hold the symbols and characters is an error that names the least size", () => {
    throws(() => trainSentencePiece([text], { vocabSize: 300 }), hasCode("LAP_DATA_SETTING", "data.vocab"));
    throws(() => trainSentencePiece(["ab"], { vocabSize: 2 ** 21 }), hasCode("LAP_DATA_SETTING", "data.vocab"));
  });

  it("words start with their spaces, and names of given pieces separate words", () => {
    const words = new SentenceWords(["<bos>", "\u2581\u2581"]);
    const found: string[] = [];
    words.forEach("ab c<bos>d\n\n e \u2585\n   f\nx   y", (word) => found.push(word));
    deepStrictEqual(found, ["ab", "\u2581c\td", "\t", "\u2581f", "x\t", "\u2581y"]);
  });
});
