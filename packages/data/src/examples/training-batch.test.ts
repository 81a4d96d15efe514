import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { expectText } from "@lapidary/std/testing";
import fc from "fast-check";
import { byteTokenizer } from "./chat-tokenizer.js";
import { type Document, encodeForTuning, encodePair, encodePrompt } from "./encode.js";
import { firstFit } from "./first-fit.js";
import { parseExamples } from "./read-examples.js";
import { showRow, shownTokens } from "./show-row.js";
import { goldenRows, messagesOfIds } from "./testing/golden.js";
import { preferenceBatch, promptBatch, trainingBatch, trainingRow } from "./training-batch.js";

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
  const inputIds = goldenRows("sft", "input_ids");
  const { examples, refused } = parseExamples(jsonl(inputIds.map((ids) => ({ messages: messagesOfIds(ids) }))), "sft.jsonl");
  const documents = examples.flatMap((example) => encodeForTuning(example, byteTokenizer, { seq: 512 }));

  it("rows of one dialogue have the tokens and labels of SFTTrainer", () => {
    deepStrictEqual(refused, []);
    const seq = inputIds[0]?.length ?? 0;
    const { tokens, targets, mask, segments } = trainingBatch(
      documents.map((document) => [document]),
      seq,
    );
    deepStrictEqual(rowsOf(tokens, seq), inputIds);
    deepStrictEqual(labelsOf(targets, mask, seq), goldenRows("sft", "labels").map(shifted));
    const lengths = documents.map(({ ids }) => ids.length);
    deepStrictEqual(
      rowsOf(segments, seq).map((row) => row.lastIndexOf(1) + 1),
      lengths,
    );
  });

  it("packed rows have the tokens, labels and segments of the golden", () => {
    const [packedIds, packedSegments] = [goldenRows("sft", "packed_input_ids"), goldenRows("sft", "packed_segment_ids")];
    const seq = packedIds[0]?.length ?? 0;
    // The golden packs in another order: its documents are found by their ids.
    const rest = new Set(documents);
    const rows = packedIds.map((ids, row) => {
      const segments = packedSegments[row] ?? [];
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
    deepStrictEqual(rowsOf(tokens, seq), packedIds);
    deepStrictEqual(labelsOf(targets, mask, seq), goldenRows("sft", "packed_labels").map(shifted));
    deepStrictEqual(rowsOf(segments, seq), packedSegments);
  });

  it("pairs have the tokens, completion masks and last tokens of RewardTrainer and DPOTrainer", () => {
    const pairIds = goldenRows("dpo", "input_ids");
    const completionMask = goldenRows("dpo", "completion_mask");
    const [last = []] = goldenRows("reward_model", "last");
    const pairs = pairIds.length / 2;
    const dialogues = pairIds.map(messagesOfIds);
    const rows = dialogues.slice(0, pairs).map((chosen, at) => ({ chosen, rejected: dialogues[at + pairs] }));
    const file = parseExamples(jsonl(rows), "pairs.jsonl");
    // A pair with equal answers is refused: it has no preference.
    const kept = file.examples.map(({ row }) => row - 1);
    ok(kept.length > 10);
    ok(file.refused.every(({ code }) => code === "LAP_EXAMPLE_PAIR"));
    const seq = pairIds[0]?.length ?? 0;
    const batch = preferenceBatch(
      file.examples.map((example) => encodePair(example, byteTokenizer, { seq })),
      seq,
    );
    const keptRows = [...kept, ...kept.map((row) => row + pairs)];
    deepStrictEqual(
      rowsOf(batch.tokens, seq),
      keptRows.map((row) => pairIds[row]),
    );
    deepStrictEqual(
      rowsOf(batch.mask, seq),
      keptRows.map((row) => [...(completionMask[row] ?? []).slice(1), 0]),
    );
    deepStrictEqual(
      Array.from(batch.last),
      keptRows.map((row) => last[row]),
    );
  });

  it("prompts are padded at the left like those of the golden", () => {
    const [promptIds, promptMask] = [goldenRows("generation", "prompt_ids"), goldenRows("generation", "prompt_mask")];
    const messages = promptIds.map(messagesOfIds);
    // One prompt of the golden is <bos> alone.
    const rows = messages.flatMap((turns, row) => (turns.length === 0 ? [] : [row]));
    const { examples: prompts } = parseExamples(jsonl(rows.map((row) => ({ prompt: messages[row] }))), "prompts.jsonl");
    const seq = promptIds[0]?.length ?? 0;
    const { tokens, first } = promptBatch(
      prompts.map((example) => encodePrompt(example, byteTokenizer, { seq })),
      seq,
    );
    deepStrictEqual(
      rowsOf(tokens, seq),
      rows.map((row) => promptIds[row]),
    );
    deepStrictEqual(
      Array.from(first),
      rows.map((row) => promptMask[row]?.indexOf(1)),
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
