import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { seededRandom } from "@lapidary/std";
import {
  byteTokenizer,
  type ChatTokenizer,
  chatTokenizer,
  contaminationFilter,
  type Document,
  duplicateFilter,
  type Example,
  type ExampleFilter,
  encodeExamples,
  encodeForTuning,
  encodePair,
  encodePrompt,
  endAnswer,
  evaluationTexts,
  filterExamples,
  formatNamed,
  identityFilter,
  mixtureOf,
  mixtureSources,
  piiFilter,
  preferenceBatch,
  promptBatch,
  readExamples,
  requireExamples,
  schemaFilter,
  showRow,
  shownTokens,
  TrainingOrder,
  trainingBatch,
  trainingRow,
  unsafeFilter,
} from "../index.js";
import { Workspace } from "@lapidary/tokenizer/testing";
import { hubTokenizerFiles, readHubTokenizer } from "./testing/hub-tokenizer.js";

/** The data of sort5: five digits, to be written in ascending order; a prompt with a letter is refused with "?". */
describe("from files to batches, as the recipes use it", () => {
  const workspace = new Workspace();
  after(() => workspace.remove());
  const random = seededRandom(1);
  const digits = (): string => Array.from({ length: 5 }, () => random.integer(10)).join("");
  const sorted = (text: string): string => [...text].sort().join("");
  const questions = [...new Set(Array.from({ length: 200 }, digits))];
  const [held, ...training] = questions;
  const refusals = training.slice(0, 20).map((text) => `${text.slice(0, 4)}x`);
  const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const seq = 64;
  const folder = workspace.folder({
    ...hubTokenizerFiles,
    "demos.jsonl": lines([...training, held ?? ""].map((prompt) => ({ prompt, completion: sorted(prompt) }))),
    "refuse.jsonl": lines(
      refusals.map((prompt) => ({
        messages: [
          { role: "user", content: prompt },
          { role: "assistant", content: "?" },
        ],
        subset: "refusal",
      })),
    ),
    "pairs.jsonl": lines(training.slice(0, 8).map((prompt) => ({ prompt, chosen: sorted(prompt), rejected: `${sorted(prompt)}0` }))),
    "prompts.jsonl": lines(training.slice(0, 8).map((prompt) => ({ prompt, answer: sorted(prompt) }))),
    "held.jsonl": lines([{ prompt: held, answer: sorted(held ?? "") }]),
  });
  const examplesOf = (name: string): readonly Example[] => {
    const file = readExamples(join(folder, name));
    requireExamples(file);
    deepStrictEqual(file.refused, []);
    return file.examples;
  };
  const tokenizer: ChatTokenizer = chatTokenizer(readHubTokenizer(folder));

  it("sft: filtered demonstrations and a share of refusals become packed batches, the same for a resumed run", () => {
    const filters: readonly ExampleFilter[] = [
      schemaFilter({ kinds: ["chat", "completion", "text"] }),
      piiFilter(),
      unsafeFilter(),
      identityFilter(),
      duplicateFilter(),
      contaminationFilter(evaluationTexts(examplesOf("held.jsonl"))),
    ];
    const clean = (name: string): readonly Document[] => {
      const { kept } = filterExamples(examplesOf(name), filters, { monotonic: () => 0 });
      const { encoded, refused } = encodeExamples(kept, (example) => encodeForTuning(example, tokenizer, { seq }));
      deepStrictEqual(refused, []);
      return encoded.flat();
    };
    const demos = clean("demos.jsonl");
    strictEqual(demos.length, training.length);
    const sources = mixtureSources([
      { name: "demos.jsonl", items: demos },
      { name: "refuse.jsonl", items: clean("refuse.jsonl"), subsets: { refusal: 0.1 } },
    ]);
    const mixture = mixtureOf(sources);
    const documentsOf = (order: TrainingOrder, step: number): readonly (readonly Document[])[] =>
      order.rows(step, 8).map((row) => row.flatMap(({ source, index }) => sources[source]?.items[index] ?? []));
    const packing = {
      seq,
      lengthOf: ({ source, index }: { source: number; index: number }) => sources[source]?.items[index]?.ids.length ?? 0,
    };
    const order = (): TrainingOrder => new TrainingOrder({ mixture, seed: 7, packing });
    const whole = order();
    const steps = Array.from({ length: 30 }, (_, step) => trainingBatch(documentsOf(whole, step), seq));
    deepStrictEqual(trainingBatch(documentsOf(order(), 29), seq), steps[29]);
    const documents = Array.from({ length: 30 }, (_, step) => documentsOf(whole, step)).flat(2);
    const share = documents.filter(({ subset }) => subset === "refusal").length / documents.length;
    ok(Math.abs(share - 0.1) < 0.02, String(share));
    // Each document starts with its own <bos>, and answers are 5 digits or "?", an end and a line break.
    for (const { tokens, segments, mask } of steps) {
      const starts = tokens.filter((id, at) => id === 2 && segments[at] !== segments[at - 1]).length;
      strictEqual(tokens.filter((id) => id === 2).length, starts);
      ok(mask.reduce((sum, each) => sum + each, 0) >= 3 * starts);
    }
  });

  it("reward and dpo: pairs become chosen rows and rejected rows", () => {
    const { encoded } = encodeExamples(examplesOf("pairs.jsonl"), (example) => encodePair(example, tokenizer, { seq }));
    const { rows, last, tokens, margin } = preferenceBatch(encoded, seq);
    strictEqual(rows, 16);
    // The last token of each row is the line break after the end of the turn.
    ok(last.every((at, row) => tokens[row * seq + at] === 14 && tokens[row * seq + at - 1] === 261));
    deepStrictEqual(Array.from(margin), Array<number>(8).fill(0));
  });

  it("rl: prompts have one width, keep the columns for the checker, and a sampled answer ends like the rows of the reward model", () => {
    const { encoded } = encodeExamples(examplesOf("prompts.jsonl"), (example) => encodePrompt(example, tokenizer, { seq }));
    const { first, tokens } = promptBatch(encoded, seq);
    ok(first.every((at, row) => tokens[row * seq + at] === 2 && tokens[(row + 1) * seq - 1] === 14));
    deepStrictEqual(encoded[0]?.columns, { answer: sorted(training[0] ?? "") });
    deepStrictEqual(endAnswer([50, 261, 0, 0], tokenizer).ids, [50, 261, 14]);
  });

  it("a row of a dataset can be shown as a table", () => {
    const format = formatNamed("completion");
    const [example] = readExamples(join(folder, "demos.jsonl"), { format }).examples;
    ok(example !== undefined);
    const row = trainingRow(encodeForTuning(example, byteTokenizer, { seq }), seq);
    match(showRow(row, tokenizer), /28 tokens, 7 trained, 36 padding$/);
    strictEqual(shownTokens(row, tokenizer).filter(({ isTrained }) => isTrained).length, 7);
  });
});
