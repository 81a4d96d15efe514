import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { hasCode } from "../testing/workspace.js";
import { encodesOrRejects, modelFuzzTarget, smallModel } from "../testing/fuzz.js";
import { PieceType } from "./model-proto.js";
import { SentencePieceTokenizer } from "./sentencepiece-tokenizer.js";
import { WireWriter } from "./wire.js";

interface Cases {
  readonly texts: readonly string[];
  readonly expected: Readonly<
    Record<
      string,
      { readonly ids: readonly (readonly number[])[]; readonly digests: string; readonly lists: readonly [number[], string][] }
    >
  >;
}

const golden = new URL("../../golden/sentencepiece/", import.meta.url);
const { texts, expected } = JSON.parse(readFileSync(new URL("cases.json", golden), "utf8")) as Cases;
const fileOf = (name: string): Buffer => readFileSync(new URL(`${name}.model`, golden));
const modelOf = (name: string): SentencePieceTokenizer => new SentencePieceTokenizer(fileOf(name), name);
const digest = (ids: readonly number[]): string => createHash("sha256").update(JSON.stringify(ids)).digest("hex").slice(0, 8);

describe("a SentencePiece model", function () {
  this.timeout(60_000);

  for (const [name, { ids, digests, lists }] of Object.entries(expected)) {
    it(`the ids of texts are those of SentencePiece: ${name}`, () => {
      const tokenizer = modelOf(name);
      deepStrictEqual(
        texts.slice(0, ids.length).map((text) => tokenizer.encode(text)),
        ids,
      );
      for (const [at, text] of texts.entries())
        strictEqual(digest(tokenizer.encode(text)), digests.slice(8 * at, 8 * at + 8), JSON.stringify(text));
    });

    it(`the texts of ids are those of SentencePiece, one id at a time too: ${name}`, () => {
      const tokenizer = modelOf(name);
      for (const [list, text] of lists) {
        strictEqual(tokenizer.decode(list), text, list.join());
        const [before, after] = [list.slice(0, 2), list.slice(2)];
        const [first, stream] = [tokenizer.decodeStream(), tokenizer.decodeStream({}, before)];
        const start = before.map((id) => first.push(id)).join("");
        strictEqual(start + after.map((id) => stream.push(id)).join("") + stream.end(), text);
      }
    });
  }

  it("a model that keeps white space and has bytes restores any text", () => {
    const tokenizer = modelOf("unigram-bytes");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        // SentencePiece cannot represent the character that it writes for a space.
        const kept = text.replaceAll("\u2581", " ").toString();
        strictEqual(tokenizer.decode(tokenizer.encode(kept)), kept.replace(/\p{Cs}/gu, "\ufffd"));
      }),
    );
  });

  it("the ids of a text do not depend on texts before it", () => {
    const [used, fresh] = [modelOf("bpe-bytes"), (): SentencePieceTokenizer => modelOf("bpe-bytes")];
    for (const text of texts) used.encode(text);
    for (const text of texts.slice(0, 20)) deepStrictEqual(used.encode(text), fresh().encode(text));
  });

  it("the names of control tokens in a text are ordinary text", () => {
    const tokenizer = modelOf("bpe-spaces");
    for (const name of ["<s>", "</s>", "<c1>", "<unk>"]) {
      const ids = tokenizer.encode(name);
      ok(ids.every((id) => tokenizer.model.pieces[id]?.type !== PieceType.control) && ids.length > 1, name);
    }
  });

  it("one word of a megabyte takes as many merges as its length requires", () => {
    const tokenizer = modelOf("bpe-across-words");
    const ids = tokenizer.encode("ab".repeat(500_000));
    strictEqual(tokenizer.decode(ids), "ab".repeat(500_000));
  });

  it("control tokens come from the names of the model, and files of the checkpoint can name others", () => {
    deepStrictEqual(modelOf("bpe-bytes").control, { bos: 1, eos: 2, pad: 2, stops: [2] });
    deepStrictEqual(modelOf("unigram-unused").control, { eos: 1, pad: 0, stops: [1] });
    const renamed = new SentencePieceTokenizer(fileOf("bpe-spaces"), "m", { "tokenizer_config.json": { eos_token: "<c1>" } });
    strictEqual(renamed.control.eos, 3);
    ok(renamed.suppressedIds.includes(0) && renamed.suppressedIds.includes(2) && !renamed.suppressedIds.includes(3));
    const listed = { "tokenizer_config.json": { added_tokens_decoder: { "400": { content: "<extra>" } } } };
    throws(() => new SentencePieceTokenizer(fileOf("bpe-spaces"), "m", listed), hasCode("LAP_DATA_TOKENIZER", "m"));
  });
});

describe("a damaged SentencePiece model", function () {
  this.timeout(60_000);

  it("a file that is cut, empty, not a message or a pointer of Git LFS is an error", () => {
    const whole = fileOf("bpe-spaces");
    for (const bytes of [
      Buffer.of(),
      Buffer.from("{}"),
      whole.subarray(0, 1000),
      Buffer.from("version https://git-lfs.github.com/spec/v1\n"),
    ])
      throws(() => new SentencePieceTokenizer(bytes, "cut.model"), hasCode("LAP_DATA_TOKENIZER", "cut.model"));
  });

  it("pieces that SentencePiece refuses are errors that name the piece", () => {
    const refused: readonly (readonly [pieces: Parameters<typeof smallModel>[0], message: RegExp])[] = [
      [[{ text: "a" }], /0 unknown pieces/],
      [[{ text: "a" }, { text: "b", type: 2 }, { text: "c", type: 2 }], /2 unknown pieces/],
      [[{ text: "?", type: 2 }, { text: "a" }, { text: "a", type: 3 }], /1 and 2 are both "a"/],
      [[{ text: "?", type: 2 }, { text: "" }], /piece 1 is empty/],
      [
        [
          { text: "?", type: 2 },
          { text: "a", score: Number.NaN },
        ],
        /score of piece 1/,
      ],
      [
        [
          { text: "?", type: 2 },
          { text: "<0x41>", type: 6 },
        ],
        /byte_fallback is false/,
      ],
      [
        [
          { text: "?", type: 2 },
          { text: "a", type: 9 },
        ],
        /9 is not a type/,
      ],
    ];
    for (const [pieces, message] of refused)
      throws(
        () => new SentencePieceTokenizer(smallModel(pieces), "m"),
        (error: Error) => hasCode("LAP_DATA_TOKENIZER", "m")(error) && message.test(error.message),
      );
    const bytes = smallModel(
      [
        { text: "?", type: 2 },
        { text: "<0x41>", type: 6 },
      ],
      (spec) => spec.varint(35, 1),
    );
    throws(() => new SentencePieceTokenizer(bytes, "m"), /no piece for the byte 0/);
  });

  it("model types and parts that are not computed are refused", () => {
    const words = smallModel([{ text: "?", type: 2 }], (spec) => spec.varint(3, 3));
    throws(() => new SentencePieceTokenizer(words, "m"), hasCode("LAP_TOKENIZER_UNSUPPORTED", "m"));
    const rules = new WireWriter().bytes(5, new WireWriter().bytes(2, Buffer.alloc(8)).end()).end();
    throws(() => new SentencePieceTokenizer(Buffer.concat([fileOf("bpe-spaces"), rules])), hasCode("LAP_TOKENIZER_UNSUPPORTED"));
    const charsmap = new WireWriter().bytes(3, new WireWriter().bytes(2, Buffer.from([9, 0, 0, 0, 1])).end()).end();
    throws(() => new SentencePieceTokenizer(Buffer.concat([fileOf("bpe-spaces"), charsmap])), hasCode("LAP_DATA_TOKENIZER"));
  });

  it("damaged bytes give a tokenizer or an error with a code", () => {
    ok(encodesOrRejects(fileOf("bpe-rules")) && !encodesOrRejects(Buffer.from("x")));
    fc.assert(modelFuzzTarget.property, { numRuns: 300 });
  });
});
