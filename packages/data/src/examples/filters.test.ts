import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Example } from "./example.js";
import {
  contaminationFilter,
  duplicateFilter,
  type ExampleFilter,
  evaluationTexts,
  filterExamples,
  type FilterResult,
  identityFilter,
  piiFilter,
  schemaFilter,
  unsafeFilter,
} from "./filters.js";
import { parseExamples } from "./read-examples.js";

const examplesOf = (...rows: readonly object[]): readonly Example[] => {
  const { examples, refused } = parseExamples(Buffer.from(rows.map((row) => JSON.stringify(row)).join("\n")), "a.jsonl");
  deepStrictEqual(refused, []);
  return examples;
};
/** A clock that advances by one millisecond a reading. */
const clock = (): { monotonic(): number } => {
  let now = 0;
  return { monotonic: () => now++ };
};
const filter = (examples: readonly Example[], ...filters: readonly ExampleFilter[]): FilterResult =>
  filterExamples(examples, filters, clock());
const keptRows = (examples: readonly Example[], ...filters: readonly ExampleFilter[]): readonly number[] =>
  filter(examples, ...filters).kept.map(({ row }) => row);

describe("filters of examples", () => {
  it("each filter reports what it removed, and each removed row is refused by its line", () => {
    const examples = examplesOf(
      { prompt: "Who are you?", completion: "I am ChatGPT." },
      { prompt: "My mail is jane.doe@acme.com", completion: "Thanks." },
      { prompt: "Hello", completion: "Hi" },
      { prompt: "Hello", completion: "Hi" },
    );
    const { kept, refused, reports } = filter(examples, piiFilter(), identityFilter(), duplicateFilter());
    deepStrictEqual(
      kept.map(({ row }) => row),
      [3],
    );
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [2, 1, 4].map((row) => [row, "LAP_EXAMPLE_FILTERED"]),
    );
    ok(refused.every(({ reason }) => !reason.includes("jane.doe")));
    deepStrictEqual(
      reports.map(({ filter: name, checked, removed, removedByKind, milliseconds }) => [
        name,
        checked,
        removed,
        removedByKind,
        milliseconds,
      ]),
      [
        ["pii", 4, 1, { "email address": 1 }, 1],
        ["identity", 3, 1, { "name of another model": 1 }, 1],
        ["duplicates", 2, 1, { duplicate: 1 }, 1],
      ],
    );
    match(reports[0]?.examples[0]?.detail ?? "", /personal data \(email address ja…om\) in turn 1/);
    deepStrictEqual(reports[2]?.examples[0], { file: "a.jsonl", row: 4, kind: "duplicate", detail: "the texts of row 3 of a.jsonl" });
  });

  it("the filter schema removes other kinds, missing columns, long dialogues, long texts and short answers", () => {
    const examples = examplesOf(
      ...["ok", "long".repeat(10), "x"].map((completion) => ({ prompt: "p", completion, id: completion === "ok" ? 1 : null })),
    );
    deepStrictEqual(keptRows(examples, schemaFilter({})), [1, 2, 3]);
    deepStrictEqual(keptRows(examples, schemaFilter({ kinds: ["chat"] })), []);
    deepStrictEqual(keptRows(examples, schemaFilter({ columns: ["id"] })), [1]);
    deepStrictEqual(keptRows(examples, schemaFilter({ maxTurns: 1 })), []);
    deepStrictEqual(keptRows(examples, schemaFilter({ maxCharacters: 39, minAnswerCharacters: 2 })), [1]);
  });

  it("a harmful question with a refusal stays, and a harmful answer is removed", () => {
    const examples = examplesOf(
      { prompt: "How do I build a pipe bomb?", completion: "I can't help with that." },
      { prompt: "How?", completion: "First, build the pipe bomb." },
    );
    deepStrictEqual(keptRows(examples, unsafeFilter()), [1]);
    deepStrictEqual(keptRows(examples, unsafeFilter({ lexicon: { own: ["first"] } })), [1]);
  });

  it("a rejected answer may be harmful or of another identity, and a chosen answer may not", () => {
    const [bad, good] = ["I am ChatGPT. First, build the pipe bomb.", "I cannot help with that."];
    const examples = examplesOf({ prompt: "How?", chosen: good, rejected: bad }, { prompt: "What?", chosen: bad, rejected: good });
    deepStrictEqual(keptRows(examples, unsafeFilter()), [1]);
    deepStrictEqual(keptRows(examples, identityFilter()), [1]);
    deepStrictEqual(keptRows(examplesOf({ prompt: "Mail?", chosen: "No.", rejected: "jane.doe@acme.com" }), piiFilter()), []);
  });

  it("the user may say who the user is, and the model may not say that it is another model", () => {
    const examples = examplesOf({ prompt: "I am Claude.", completion: "Hello Claude." }, { prompt: "Who?", completion: "I am Claude." });
    deepStrictEqual(keptRows(examples, identityFilter()), [1]);
    deepStrictEqual(keptRows(examples, identityFilter({ own: ["Claude"] })), [1, 2]);
  });

  it("examples with one long system text are not duplicates, and nearly equal ones are", () => {
    const system = Array.from({ length: 200 }, (_, i) => `rule${i}`).join(" ");
    const story = Array.from({ length: 200 }, (_, i) => `word${i}`).join(" ");
    const chat = (question: string, answer: string): object => ({
      messages: [
        { role: "system", content: system },
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ],
    });
    const examples = examplesOf(
      chat("one?", "first answer"),
      chat("two?", "second answer"),
      chat("story", story),
      chat("story", `${story} end`),
    );
    const { kept, reports } = filter(examples, duplicateFilter());
    deepStrictEqual(
      kept.map(({ row }) => row),
      [1, 2, 3],
    );
    deepStrictEqual(keptRows(examples, duplicateFilter({ near: false })), [1, 2, 3, 4]);
    match(reports[0]?.examples[0]?.detail ?? "", /^texts like those of row 3 of a\.jsonl \(similarity (0\.9\d|1\.00)\)$/);
  });

  it("an example with a question of the evaluation set is removed, and a common short answer is not an overlap", () => {
    const held = examplesOf({ prompt: "52713", completion: "12357" }, { prompt: "Is it so?", completion: "yes" });
    const examples = examplesOf(
      { prompt: "52713", completion: "73215" },
      { prompt: "99999", completion: "yes" },
      { prompt: "12357", completion: "x" },
    );
    const { kept, reports } = filter(examples, contaminationFilter(evaluationTexts(held)));
    deepStrictEqual(
      kept.map(({ row }) => row),
      [2, 3],
    );
    strictEqual(reports[0]?.examples[0]?.detail, "words of the evaluation set (row 1 of a.jsonl)");
  });
});
