import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { byteTokenizer } from "./chat-tokenizer.js";
import { type Document, type EncodeOptions, encodeExamples, encodeForTuning, encodePair, encodePrompt } from "./encode.js";
import type { Example } from "./example.js";

const source = { file: "a.jsonl", row: 3, columns: {} };
const bytes = (text: string): number[] => byteTokenizer.encode(text).slice();
const pieces = (ids: Iterable<number>): string => Array.from(ids, (id) => (id === 14 ? "\n" : byteTokenizer.piece(id))).join("");
const trained = ({ ids, mask }: Pick<Document, "ids" | "mask">): string => pieces(Array.from(ids).filter((_, at) => mask[at] === 1));
const completion: Example = { ...source, kind: "completion", prompt: "52713", completion: "12357" };
const documents = (example: Example, options: EncodeOptions): readonly Document[] => encodeForTuning(example, byteTokenizer, options);

describe("the documents of an example", () => {
  it("only the completion and its end are trained", () => {
    const [document] = documents(completion, { seq: 64 });
    ok(document !== undefined);
    strictEqual(pieces(document.ids), "<bos><start_of_turn>user\n52713<end_of_turn>\n<start_of_turn>model\n12357<end_of_turn>\n");
    strictEqual(trained(document), "12357<end_of_turn>\n");
  });

  it("a row that would have a second <bos>, or none, is never encoded", () => {
    const { bos } = byteTokenizer.control;
    const twice = { ...byteTokenizer, encode: (text: string) => [...byteTokenizer.encode(text), bos] };
    const prompt: Example = { ...source, kind: "prompt", prompt: "a" };
    const pair: Example = { ...source, kind: "preference", prompt: "a", chosen: "b", rejected: "c" };
    for (const encode of [
      () => encodeForTuning(completion, twice, { seq: 64 }),
      () => encodePair(pair, twice, { seq: 64 }),
      () => encodePrompt(prompt, twice, { seq: 64 }),
    ])
      throws(encode, /a row has one <bos>/);
    const documentsOfAll = [...documents(completion, { seq: 64 }), encodePair(pair, byteTokenizer, { seq: 64 }).chosen];
    for (const ids of [...documentsOfAll.map((document) => document.ids), encodePrompt(prompt, byteTokenizer, { seq: 64 }).ids])
      deepStrictEqual([ids[0], ids.filter((id) => id === bos).length], [bos, 1]);
  });

  it("a dialogue before the completion is not trained, also not its answers", () => {
    const prompt = [
      { role: "system", content: "s" },
      { role: "user", content: "a" },
      { role: "model", content: "b" },
      { role: "user", content: "c" },
    ] as const;
    const [document] = documents({ ...source, kind: "completion", prompt, completion: [{ role: "model", content: "d" }] }, { seq: 128 });
    ok(document !== undefined);
    strictEqual(trained(document), "d<end_of_turn>\n");
  });

  it("raw texts have no turns: the answer ends with <eos>", () => {
    const [document] = documents(completion, { seq: 64, texts: "raw" });
    deepStrictEqual(Array.from(document?.ids ?? []), [2, ...bytes("5271312357"), 1]);
    deepStrictEqual(Array.from(document?.mask ?? []), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
  });

  it("a text longer than a row is split: each piece has its own <bos>, and each token is a target once", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 2, max: 12 }), (text, seq) => {
        const split = documents({ ...source, kind: "text", text }, { seq });
        ok(split.every(({ ids, mask }) => ids.length <= seq && ids[0] === 2 && mask[0] === 0 && !ids.includes(2, 1)));
        deepStrictEqual(
          split.flatMap(({ ids, mask }) => Array.from(ids).filter((_, at) => mask[at] === 1)),
          [...bytes(text), 1],
        );
      }),
    );
  });

  it("an example longer than a row is refused, or its end is cut off if the option says so", () => {
    throws(() => documents(completion, { seq: 27 }), {
      code: "LAP_EXAMPLE_TOO_LONG",
      message: /the example has 28 tokens, and at most 27 fit/,
    });
    const [whole] = documents(completion, { seq: 28 });
    const [cut] = documents(completion, { seq: 27, overflow: "cut" });
    deepStrictEqual(cut?.ids, whole?.ids.slice(0, 27));
    throws(() => documents(completion, { seq: 21, overflow: "cut" }), { message: /the part before the answer has 21 tokens/ });
    strictEqual(trained(documents(completion, { seq: 22, overflow: "cut" })[0] ?? { ids: new Int32Array(), mask: new Uint8Array() }), "1");
  });

  it("a prompt or a pair is refused for tuning by its row, and the other examples are encoded", () => {
    const pair: Example = { ...source, row: 4, kind: "preference", prompt: "a", chosen: "b", rejected: "c" };
    const prompt: Example = { ...source, row: 5, kind: "prompt", prompt: "a" };
    const { encoded, refused } = encodeExamples([completion, pair, prompt], (example) =>
      encodeForTuning(example, byteTokenizer, { seq: 64 }),
    );
    strictEqual(encoded.length, 1);
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [
        [4, "LAP_EXAMPLE_FORMAT"],
        [5, "LAP_EXAMPLE_FORMAT"],
      ],
    );
    match(refused[0]?.reason ?? "", /of the kind preference cannot be used for supervised fine-tuning/);
  });
});

describe("pairs and prompts", () => {
  const pair: Example = { ...source, kind: "preference", prompt: "a", chosen: "xyz", rejected: "xw", margin: 0.25 };

  it("both rows of a pair have the prompt, and only the answers are trained", () => {
    const { chosen, rejected, margin } = encodePair(pair, byteTokenizer, { seq: 64 });
    deepStrictEqual([trained(chosen), trained(rejected), margin], ["xyz<end_of_turn>\n", "xw<end_of_turn>\n", 0.25]);
  });

  it("a pair whose answers are equal after the cut is refused", () => {
    const seq = 18;
    const { chosen } = encodePair(pair, byteTokenizer, { seq: seq + 1, overflow: "cut" });
    strictEqual(trained(chosen), "xy");
    throws(() => encodePair(pair, byteTokenizer, { seq, overflow: "cut" }), { code: "LAP_EXAMPLE_PAIR" });
    throws(() => encodePair(completion, byteTokenizer, { seq }), { code: "LAP_EXAMPLE_FORMAT" });
  });

  it("a prompt ends with the start of an answer, keeps its columns, and is never cut", () => {
    const prompt: Example = { ...source, subset: "sort", columns: { answer: "12" }, kind: "prompt", prompt: "21" };
    const { ids, columns, subset } = encodePrompt(prompt, byteTokenizer, { seq: 64 });
    strictEqual(pieces(ids), "<bos><start_of_turn>user\n21<end_of_turn>\n<start_of_turn>model\n");
    deepStrictEqual([columns, subset], [{ answer: "12" }, "sort"]);
    throws(() => encodePrompt(prompt, byteTokenizer, { seq: ids.length - 1, overflow: "cut" }), { code: "LAP_EXAMPLE_TOO_LONG" });
    throws(() => encodePrompt(pair, byteTokenizer, { seq: 64 }), { code: "LAP_EXAMPLE_FORMAT" });
    deepStrictEqual(Array.from(encodePrompt(prompt, byteTokenizer, { seq: 64, texts: "raw" }).ids), [2, ...bytes("21")]);
  });
});
