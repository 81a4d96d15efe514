import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { expectText } from "@lapidary/std";
import fc from "fast-check";
import { byteTokenizer } from "./chat-tokenizer.js";
import { type Document, encodeForTuning, encodePair, encodePrompt } from "./encode.js";
import { firstFit } from "./first-fit.js";
import { parseExamples } from "./read-examples.js";
import { showRow, shownTokens } from "./show-row.js";
import { rowsGolden } from "./testing/golden.js";
import { preferenceBatch, promptBatch, trainingBatch, trainingRow } from "./training-batch.js";

const golden = rowsGolden();
const jsonl = (rows: readonly object[]): Buffer => Buffer.from(rows.map((row) => JSON.stringify(row)).join("\n"), "utf8");

/** The rows of an array, each without what is past the next row. */
const rowsOf = (array: Int32Array | Float32Array, seq: number): number[][] =>
  Array.from({ length: array.length / seq }, (_, row) => Array.from(array.subarray(row * seq, (row + 1) * seq)));

/** The target of each position in the labels of TRL, which belong to the position itself; −100 does not count. */
const shifted = (labels: readonly number[]): number[] => [...labels.slice(1), -100];

const labelsOf = (targets: Int32Array, mask: Float32Array, seq: number): number[][] =>
  rowsOf(
    targets.map((target, at) => (mask[at] === 1 ? target : -100)),
    seq,
  );

describe("batches, compared with those of TRL", () => {
  const { examples, refused } = parseExamples(jsonl(golden.sft.messages.map((messages) => ({ messages }))), "sft.jsonl");
  const documents = examples.flatMap((example) => encodeForTuning(example, byteTokenizer, { seq: 512 }));

  it("rows of one dialogue have the tokens and labels of SFTTrainer", () => {
    deepStrictEqual(refused, []);
    const seq = golden.sft.input_ids[0]?.length ?? 0;
    const { tokens, targets, mask, segments } = trainingBatch(
      documents.map((document) => [document]),
      seq,
    );
    deepStrictEqual(rowsOf(tokens, seq), golden.sft.input_ids);
    deepStrictEqual(labelsOf(targets, mask, seq), golden.sft.labels.map(shifted));
    const lengths = documents.map(({ ids }) => ids.length);
    deepStrictEqual(
      rowsOf(segments, seq).map((row) => row.lastIndexOf(1) + 1),
      lengths,
    );
  });

  it("packed rows have the tokens, labels and segments of the golden", () => {
    const seq = golden.sft.packed_input_ids[0]?.length ?? 0;
    // The golden packs in another order: its documents are found by their ids.
    const rest = new Set(documents);
    const rows = golden.sft.packed_input_ids.map((ids, row) => {
      const segments = golden.sft.packed_segment_ids[row] ?? [];
      return Array.from({ length: Math.max(...segments) }, (_, at): Document => {
        const wanted = ids.filter((_, i) => segments[i] === at + 1).join();
        const document = [...rest].find((each) => each.ids.join() === wanted);
        ok(document !== undefined);
        rest.delete(document);
        return document;
      });
    });
    strictEqual(rest.size, 0);
    const { tokens, targets, mask, segments } = trainingBatch(rows, seq);
    deepStrictEqual(rowsOf(tokens, seq), golden.sft.packed_input_ids);
    deepStrictEqual(labelsOf(targets, mask, seq), golden.sft.packed_labels.map(shifted));
    deepStrictEqual(rowsOf(segments, seq), golden.sft.packed_segment_ids);
  });

  it("pairs have the tokens, completion masks and last tokens of RewardTrainer and DPOTrainer", () => {
    const { chosen, rejected, input_ids, completion_mask, last } = golden.preference;
    const file = parseExamples(jsonl(chosen.map((dialogue, at) => ({ chosen: dialogue, rejected: rejected[at] }))), "pairs.jsonl");
    // A pair with equal answers is refused: it has no preference.
    const kept = file.examples.map(({ row }) => row - 1);
    ok(kept.length > 10);
    ok(file.refused.every(({ code }) => code === "LAP_EXAMPLE_PAIR"));
    const seq = input_ids[0]?.length ?? 0;
    const batch = preferenceBatch(
      file.examples.map((example) => encodePair(example, byteTokenizer, { seq })),
      seq,
    );
    const rows = [...kept, ...kept.map((row) => row + chosen.length)];
    deepStrictEqual(
      rowsOf(batch.tokens, seq),
      rows.map((row) => input_ids[row]),
    );
    deepStrictEqual(
      rowsOf(batch.mask, seq),
      rows.map((row) => [...(completion_mask[row] ?? []).slice(1), 0]),
    );
    deepStrictEqual(
      Array.from(batch.last),
      rows.map((row) => last[row]),
    );
  });

  it("prompts are padded at the left like those of the golden", () => {
    const { messages, prompt_ids, prompt_mask } = golden.prompts;
    // One prompt of the golden is <bos> alone.
    const rows = messages.flatMap((turns, row) => (turns.length === 0 ? [] : [row]));
    const { examples: prompts } = parseExamples(jsonl(rows.map((row) => ({ prompt: messages[row] }))), "prompts.jsonl");
    const seq = prompt_ids[0]?.length ?? 0;
    const { tokens, first } = promptBatch(
      prompts.map((example) => encodePrompt(example, byteTokenizer, { seq })),
      seq,
    );
    deepStrictEqual(
      rowsOf(tokens, seq),
      rows.map((row) => prompt_ids[row]),
    );
    deepStrictEqual(
      Array.from(first),
      rows.map((row) => prompt_mask[row]?.indexOf(1)),
    );
  });
});

describe("packing", () => {
  const capacity = 32;
  const lengths = fc.array(fc.integer({ min: 1, max: capacity }), { maxLength: 200 });

  it("each item goes to the first bin with enough free capacity", () => {
    fc.assert(
      fc.property(lengths, (items) => {
        const bins: number[][] = [];
        for (const [at, length] of items.entries()) {
          const used = (bin: readonly number[]): number => bin.reduce((sum, each) => sum + (items[each] ?? 0), 0);
          const bin = bins.find((each) => used(each) + length <= capacity);
          if (bin === undefined) bins.push([at]);
          else bin.push(at);
        }
        const packed = firstFit(items, capacity);
        deepStrictEqual(
          Array.from({ length: packed.count }, (_, bin) => Array.from(packed.itemsOf(bin))),
          bins,
        );
      }),
    );
  });

  it("a target is never the token of another document or padding", () => {
    const [a, b] = [3, 5].map(
      (length): Document => ({
        file: "a",
        row: 1,
        ids: Int32Array.from({ length }, (_, at) => (at === 0 ? 2 : 50)),
        mask: Uint8Array.from({ length }, (_, at) => (at === 0 ? 0 : 1)),
      }),
    );
    ok(a !== undefined && b !== undefined);
    const { mask, targets, segments, tokens } = trainingBatch([[a, b], []], 10);
    deepStrictEqual(Array.from(mask), [1, 1, 0, 1, 1, 1, 1, 0, 0, 0, ...Array<number>(10).fill(0)]);
    for (const [at, value] of mask.entries())
      if (value === 1) deepStrictEqual([targets[at], segments[at]], [tokens[at + 1], segments[at + 1]]);
    deepStrictEqual(Array.from(segments), [1, 1, 1, 2, 2, 2, 2, 2, 0, 0, ...Array<number>(10).fill(0)]);
  });
});

describe("a row as a table", () => {
  const { examples } = parseExamples(
    jsonl([
      { prompt: "2 1", completion: "é" },
      { prompt: "b", completion: "x" },
    ]),
    "a.jsonl",
  );
  const row = trainingRow(
    examples.flatMap((example) => encodeForTuning(example, byteTokenizer, { seq: 64 })),
    64,
  );

  it("the table shows ids, pieces, mask and segments, and counts the padding", () => {
    expectText(showRow(row, byteTokenizer), new URL("../../src/examples/testdata/row.txt", import.meta.url));
  });

  it("a padding token is not shown, and a token with the id of padding is", () => {
    strictEqual(shownTokens(row, byteTokenizer).length, row.segments.filter((segment) => segment > 0).length);
    const zero = trainingRow([{ file: "a", row: 1, ids: Int32Array.of(2, 0), mask: Uint8Array.of(0, 1) }], 4);
    deepStrictEqual(
      shownTokens(zero, byteTokenizer).map(({ piece }) => piece),
      ["<bos>", "<pad>"],
    );
  });
});
