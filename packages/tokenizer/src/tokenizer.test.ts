import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { hasCode } from "./testing/workspace.js";
import { segmentPattern } from "./characters.js";
import { forEachSegment } from "./segments.js";
import { toHuggingFace } from "./to-hugging-face.js";
import { Tokenizer, type TokenizerJSON } from "./tokenizer.js";
import { tokenizerFromJSON } from "./tokenizer-json.js";
import { trainTokenizer } from "./train.js";
import { firstPieceId, SpecialToken } from "./vocabulary.js";

const verse = `The quick brown fox jumps over the lazy dog.
    const answer = compute(the, quick, 1234);
    return answer + "the end"; // naïve café ▁ — 日本
`;
const texts = Array.from({ length: 20 }, (_, i) => verse.repeat(1 + (i % 3)));
const tokenizer = trainTokenizer(texts, { vocabSize: 512 });

/** Strings of parts that are likely to fail, and of arbitrary UTF-16 units. */
const anyString = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc
    .array(
      fc.constantFrom(
        "the ",
        " ",
        "    ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "0",
        "42",
        "<bos>",
        "<0x41>",
        "<unused1>",
        "▁",
        "👍🏽",
        "e\u0301",
        "\ud83d",
        "\ude00",
        "\ufffd",
        "\ufeff",
        "a".repeat(70),
        " ".repeat(66),
      ),
    )
    .map((parts) => parts.join("")),
);

describe("tokenizer", () => {
  it("decode(encode(x)) equals x for every string", () => {
    fc.assert(
      fc.property(anyString, (text) => {
        strictEqual(tokenizer.decode(tokenizer.encode(text)), text);
      }),
      { numRuns: 500 },
    );
  });

  it("tokens decoded one at a time yield the same text and no partial characters", () => {
    fc.assert(
      fc.property(anyString, (text) => {
        const stream = tokenizer.decodeStream();
        const parts = tokenizer.encode(text).map((id) => stream.push(id));
        strictEqual(parts.join("") + stream.end(), text);
        if (!text.includes("\ufffd")) ok(parts.every((part) => !part.includes("\ufffd")));
      }),
    );
  });

  it("encode never yields a control token", () => {
    fc.assert(
      fc.property(anyString, (text) => {
        ok(tokenizer.encode(text).every((id) => id > SpecialToken.unk && id < tokenizer.vocabSize));
      }),
    );
    ok(
      trainTokenizer(["<bos><eos><pad><unk> <bos>".repeat(500)], { vocabSize: 400 })
        .encode("<bos>")
        .every((id) => id >= firstPieceId),
    );
  });

  it("each digit is a token, and whitespace is kept", () => {
    const names = (text: string): string[] => tokenizer.encode(text).map((id) => tokenizer.name(id));
    deepStrictEqual(names("1234"), ["1", "2", "3", "4"]);
    deepStrictEqual(names("the 4\n    return"), ["the", " ", "4", "\n   ", " return"]);
  });

  it("bytes encode a character without a piece, including a lone surrogate", () => {
    const names = (text: string): string[] => tokenizer.encode(text).map((id) => tokenizer.name(id));
    deepStrictEqual(names("€"), ["<0xE2>", "<0x82>", "<0xAC>"]);
    deepStrictEqual(names("\ud800"), ["<0xED>", "<0xA0>", "<0x80>"]);
  });

  it("decode returns U+FFFD for invalid bytes, and omits control tokens by default", () => {
    const byte = (value: number): number => 4 + value;
    strictEqual(tokenizer.decode([byte(0xe2), byte(0x82), ...tokenizer.encode("the")]), "\ufffdthe");
    strictEqual(tokenizer.decode([byte(0xff), byte(0xc0), byte(0x41), byte(0xf0)]), "\ufffd\ufffdA\ufffd");
    const ids = [SpecialToken.bos, ...tokenizer.encode("the"), SpecialToken.eos, SpecialToken.pad];
    strictEqual(tokenizer.decode(ids), "the");
    strictEqual(tokenizer.decode(ids, { special: true }), "<bos>the<eos><pad>");
  });

  it("a frequent word is one token, also after a space", () => {
    strictEqual(tokenizer.encode(" the").length, 1);
    strictEqual(tokenizer.encode(" quick").length, 1);
  });

  it("an id outside of the vocabulary is an error", () => {
    for (const id of [-1, 512, 1.5, Number.NaN]) throws(() => tokenizer.decode([id]), hasCode("LAP_DATA_TOKEN_ID"));
  });
});

describe("segments", () => {
  it("the segments equal the matches of the regular expression that is exported to Hugging Face", () => {
    const pattern = new RegExp(segmentPattern("u"), "gu");
    fc.assert(
      fc.property(anyString, (text) => {
        const ours: string[] = [];
        forEachSegment(text, (start, end) => ours.push(text.slice(start, end)));
        deepStrictEqual(ours, text.match(pattern) ?? []);
        strictEqual(ours.join(""), text);
      }),
      { numRuns: 500 },
    );
  });

  it("no segment has more than 65 characters", () => {
    for (const text of [
      "a".repeat(1000),
      " ".repeat(1000),
      "-".repeat(1000),
      "😀".repeat(1000),
      `${" ".repeat(64)} x`,
      `${" ".repeat(65)} x`,
    ])
      forEachSegment(text, (start, end) => ok([...text.slice(start, end)].length <= 65));
  });
});

describe("training a tokenizer", () => {
  it("the trained tokenizer does not depend on the order of the texts", () => {
    deepStrictEqual(trainTokenizer(texts.toReversed(), { vocabSize: 512 }).toJSON(), tokenizer.toJSON());
  });

  it("the vocabulary of a short text is filled with unused ids, and the last progress equals the total", () => {
    const seen: [number, number][] = [];
    const small = trainTokenizer(["aaaa bbbb"], { vocabSize: 300, onProgress: (done, total) => seen.push([done, total]) });
    strictEqual(small.vocabSize, 300);
    strictEqual(small.name(299), `<unused${299 - small.usedSize}>`);
    strictEqual(small.decode([299]), "");
    const last = seen.at(-1);
    ok(last !== undefined && last[0] === last[1]);
  });

  it("a tokenizer of 260 ids encodes bytes only", () => {
    const bytes = trainTokenizer(["whatever"], { vocabSize: 260 });
    strictEqual(bytes.encode("hé").length, 3);
    strictEqual(bytes.decode(bytes.encode("hé")), "hé");
    strictEqual(trainTokenizer([], { vocabSize: 300 }).decode(bytes.encode("")), "");
  });

  it("each merge joins the most frequent pair, as in the definition", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c", " ") }), { minLength: 1, maxLength: 8 }), (words) => {
        const trained = trainTokenizer(words, { vocabSize: 280 });
        deepStrictEqual(trained.toJSON().merges, naiveMerges(words, trained));
      }),
    );
  });

  it("an invalid vocabulary size is an error", () => {
    for (const vocabSize of [259, 300.5, 2 ** 21, Number.NaN])
      throws(() => trainTokenizer(["a"], { vocabSize }), hasCode("LAP_DATA_SETTING"));
  });
});

describe("stored tokenizer", () => {
  const json = JSON.parse(JSON.stringify(tokenizer)) as TokenizerJSON;

  it("a stored tokenizer is read back unchanged", () => {
    const again = tokenizerFromJSON(json);
    deepStrictEqual(again.toJSON(), tokenizer.toJSON());
    deepStrictEqual(again.encode(verse), tokenizer.encode(verse));
  });

  it("merges that are cyclic, repeated, out of range or produce a control token are errors", () => {
    const end = firstPieceId + json.alphabet.length;
    const refused = (change: Record<string, unknown>): void =>
      throws(() => tokenizerFromJSON({ ...json, ...change }, "x.json"), hasCode("LAP_DATA_TOKENIZER"));
    refused({ merges: [[end, firstPieceId]] });
    refused({
      merges: [
        [end + 1, firstPieceId],
        [end, firstPieceId],
      ],
    });
    refused({ merges: [[SpecialToken.bos, firstPieceId]] });
    refused({
      merges: [
        [firstPieceId, firstPieceId],
        [firstPieceId, firstPieceId],
      ],
    });
    refused({ merges: [[firstPieceId, -1]] });
    refused({ merges: [[firstPieceId]] });
    refused({ vocabSize: end, merges: [[firstPieceId, firstPieceId]] });
    refused({ vocabSize: 10 });
    refused({ alphabet: ["a", "a"], merges: [] });
    refused({ alphabet: ["ab"], merges: [] });
    refused({ alphabet: ["\ud800"], merges: [] });
    refused({
      alphabet: [..."<bos>"],
      merges: [
        [260, 261],
        [265, 262],
        [266, 263],
        [267, 264],
      ],
    });
    refused({ version: 2 });
    refused({ extra: true });
    throws(() => tokenizerFromJSON("text"), hasCode("LAP_DATA_TOKENIZER"));
  });

  it("a piece of two merges has one id, and the exported vocabulary has every name once", () => {
    const twice = new Tokenizer({
      vocabSize: 267,
      alphabet: ["a", "b", "c"],
      merges: [
        [260, 261],
        [261, 262],
        [263, 262],
        [260, 264],
      ],
    });
    strictEqual(twice.usedSize, 266);
    deepStrictEqual(twice.encode("abc"), [265]);
    const files = toHuggingFace(twice)["tokenizer.json"] as { model: { vocab: Record<string, number>; merges: unknown[] } };
    strictEqual(Object.keys(files.model.vocab).length, 267);
    strictEqual(files.model.merges.length, 4);
  });
});

/** Byte-pair training by its definition: counts all pairs of all words again before every merge. */
function naiveMerges(words: readonly string[], trained: Tokenizer): [number, number][] {
  const all: number[][] = [];
  const id = (character: string): number => {
    const at = trained.alphabet.indexOf(character);
    return at < 0 ? 0 : firstPieceId + at;
  };
  for (const text of words) forEachSegment(text, (start, end) => all.push(Array.from(text.slice(start, end), id)));
  const names = trained.alphabet.map((character) => character);
  const merges: [number, number][] = [];
  while (firstPieceId + names.length < trained.vocabSize) {
    const counts = new Map<string, number>();
    for (const word of all)
      for (let i = 0; i + 1 < word.length; i++)
        if (word[i] !== 0 && word[i + 1] !== 0) counts.set(`${word[i]} ${word[i + 1]}`, (counts.get(`${word[i]} ${word[i + 1]}`) ?? 0) + 1);
    const best = [...counts]
      .map(([pair, count]) => ({ pair: pair.split(" ").map(Number) as [number, number], count }))
      .filter(({ pair: [l, r], count }) => count >= 2 && ((names[l - firstPieceId] ?? "") + (names[r - firstPieceId] ?? "")).length <= 16)
      .sort((a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1])[0];
    if (best === undefined) break;
    const [left, right] = best.pair;
    const text = (names[left - firstPieceId] ?? "") + (names[right - firstPieceId] ?? "");
    if (!names.includes(text)) names.push(text);
    const made = firstPieceId + names.indexOf(text);
    merges.push([left, right]);
    for (const word of all)
      for (let i = 0; i + 1 < word.length; i++) if (word[i] === left && word[i + 1] === right) word.splice(i, 2, made);
  }
  return merges;
}
