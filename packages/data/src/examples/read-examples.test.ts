import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import type { Example } from "./example.js";
import {
  type ExampleFile,
  formatNamed,
  parseExamples,
  type ReadOptions,
  readExamples,
  requireExamples,
  rowTexts,
} from "./read-examples.js";

const lines = (...rows: readonly unknown[]): Uint8Array =>
  Buffer.from(rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"), "utf8");
const parse = (rows: readonly unknown[], options?: ReadOptions): ExampleFile => parseExamples(lines(...rows), "a.jsonl", options);
const only = (row: unknown, options?: ReadOptions): Example => {
  const { examples, refused } = parse([row], options);
  deepStrictEqual(refused, []);
  const [example] = examples;
  ok(example !== undefined && examples.length === 1);
  return example;
};
/** Code and reason of the only row, which is refused. */
const refusal = (row: unknown, options?: ReadOptions): string => {
  const { examples, refused } = parse([row], options);
  deepStrictEqual(examples, []);
  strictEqual(refused.length, 1);
  const [{ code, reason, remedy, row: number } = { code: "", reason: "", remedy: "", row: 0 }] = refused;
  strictEqual(number, 1);
  ok(remedy.length > 10, remedy);
  return `${code}: ${reason}`;
};
const common = { file: "a.jsonl", row: 1, columns: {} };
const [ask, answer, again, end] = [
  { role: "user", content: "a" },
  { role: "assistant", content: "b" },
  { role: "user", content: "c" },
  { role: "assistant", content: "d" },
];
const turn = { ask: { role: "user", content: "a" }, answer: { role: "model", content: "b" } } as const;

describe("the format of a row", () => {
  it("`messages` give a dialogue", () => {
    deepStrictEqual(only({ messages: [ask, answer] }), { ...common, kind: "chat", turns: [turn.ask, turn.answer] });
  });

  it("`conversations` of ShareGPT give a dialogue, with a system text inside or outside of the list", () => {
    const conversations = [
      { from: "human", value: "a" },
      { from: "gpt", value: "b" },
    ];
    const turns = [{ role: "system", content: "s" }, turn.ask, turn.answer];
    deepStrictEqual(only({ conversations: [{ from: "system", value: "s" }, ...conversations] }), { ...common, kind: "chat", turns });
    deepStrictEqual(only({ system: "s", conversations }), { ...common, kind: "chat", turns });
    deepStrictEqual(only({ system: null, conversations }), { ...common, kind: "chat", turns: turns.slice(1) });
  });

  it("`prompt` and `completion` give texts, or turns if one of them is a list of messages", () => {
    deepStrictEqual(only({ prompt: "a", completion: "b" }), { ...common, kind: "completion", prompt: "a", completion: "b" });
    const turns = { ...common, kind: "completion", prompt: [turn.ask], completion: [turn.answer] };
    deepStrictEqual(only({ prompt: [ask], completion: [answer] }), turns);
    deepStrictEqual(only({ prompt: "a", completion: [answer] }), turns);
    deepStrictEqual(only({ prompt: [ask], completion: "b" }), turns);
  });

  it("a row of Alpaca gives one question with its input, and keeps the rendered text as a column", () => {
    const row = { instruction: "Sort.", input: "b a", output: "a b", text: "### Instruction: …" };
    deepStrictEqual(only(row), {
      ...common,
      columns: { text: row.text },
      kind: "completion",
      prompt: [{ role: "user", content: "Sort.\n\nb a" }],
      completion: [{ role: "model", content: "a b" }],
    });
    deepStrictEqual((only({ instruction: "Sort.", input: "", output: "a" }) as { prompt: unknown }).prompt, [
      { role: "user", content: "Sort." },
    ]);
  });

  it("a preference has texts, answers to a dialogue, or two whole dialogues with a common prefix", () => {
    deepStrictEqual(only({ prompt: "a", chosen: "b", rejected: "c", margin: 0.5 }), {
      ...common,
      kind: "preference",
      prompt: "a",
      chosen: "b",
      rejected: "c",
      margin: 0.5,
    });
    const pair = {
      ...common,
      kind: "preference",
      prompt: [turn.ask, turn.answer, { role: "user", content: "c" }],
      chosen: [{ role: "model", content: "d" }],
      rejected: [turn.answer],
    };
    deepStrictEqual(only({ prompt: [ask, answer, again], chosen: "d", rejected: [answer] }), pair);
    deepStrictEqual(only({ chosen: [ask, answer, again, end], rejected: [ask, answer, again, answer] }), pair);
    deepStrictEqual(only({ prompt: "c", chosen: [ask, answer, again, end], rejected: [ask, answer, again, answer] }), pair);
  });

  it("`prompt` alone keeps all further columns for the checker", () => {
    deepStrictEqual(only({ prompt: "52713", answer: "12357", level: { digits: 5 }, id: 7, subset: "sort" }), {
      ...common,
      subset: "sort",
      columns: { answer: "12357", level: { digits: 5 }, id: 7 },
      kind: "prompt",
      prompt: "52713",
    });
  });

  it("`text` gives a text, and `null` counts as an absent key", () => {
    deepStrictEqual(only({ text: "a", prompt: null, id: "x" }), { ...common, columns: { prompt: null, id: "x" }, kind: "text", text: "a" });
  });

  it("`format:` decides if the keys match several formats", () => {
    const row = { prompt: "p", messages: [ask, answer] };
    match(refusal(row), /^LAP_EXAMPLE_FORMAT: the keys match the formats messages and prompt/);
    strictEqual(only(row, { format: "messages", columns: "keep" }).kind, "chat");
    deepStrictEqual(only(row, { format: "prompt" }).columns, { messages: [ask, answer] });
    strictEqual(formatNamed("alpaca"), "alpaca");
    throws(() => formatNamed("alpacca"), { code: "LAP_EXAMPLE_FORMAT", remedy: /did you mean alpaca/ });
  });

  it("the subset of a row wins over the subset of the file", () => {
    deepStrictEqual(
      parse([{ text: "a" }, { text: "b", subset: "own" }], { subset: "file" }).examples.map(({ subset }) => subset),
      ["file", "own"],
    );
  });
});

describe("a refused row", () => {
  const cases: readonly (readonly [title: string, row: unknown, reason: RegExp, options?: ReadOptions])[] = [
    ["is not JSON", '{"text": "a"', /^LAP_EXAMPLE_JSON: the row is not JSON/],
    ["has a second value", "[1, 2] x", /^LAP_EXAMPLE_JSON/],
    ["is a text", '"a"', /^LAP_EXAMPLE_JSON: the row is a string, not a JSON object/],
    ["has no keys", {}, /^LAP_EXAMPLE_FORMAT: the row has no keys/],
    ["has keys of no format", { promt: "a", completion: "b" }, /^LAP_EXAMPLE_FORMAT: the keys `promt`, `completion` match no format/],
    ["lacks a key of the given format", { text: "a" }, /^LAP_EXAMPLE_FORMAT: the row has no `messages`/, { format: "messages" }],
    ["has an unknown key", { text: "a", scorre: 1 }, /^LAP_EXAMPLE_KEY: the format text does not define the key `scorre`/],
    ["has a text of another type", { text: 3 }, /^LAP_EXAMPLE_VALUE: `text` is a number, expected a text/],
    ["has a subset of another type", { text: "a", subset: 3 }, /^LAP_EXAMPLE_VALUE: `subset` is a number/],
    ["has an empty text", { text: " \n" }, /^LAP_EXAMPLE_EMPTY: `text` is empty/],
    [
      "has an empty content",
      { messages: [ask, { role: "assistant", content: "" }] },
      /^LAP_EXAMPLE_EMPTY: `messages\[1\]\.content` is empty/,
    ],
    ["has no turns", { messages: [] }, /^LAP_EXAMPLE_EMPTY: `messages` is empty/],
    ["has a turn that is a text", { messages: ["a"] }, /^LAP_EXAMPLE_VALUE: `messages\[0\]` is a string/],
    ["has a turn without a role", { messages: [{ content: "a" }] }, /^LAP_EXAMPLE_VALUE: `messages\[0\]\.role` is absent/],
    [
      "has an unknown role",
      { messages: [ask, { role: "tool", content: "y" }] },
      /^LAP_EXAMPLE_ROLE: turn 2 of `messages` has the unknown role "tool"/,
    ],
    ["has the role of a property of objects", { messages: [{ role: "toString", content: "y" }] }, /^LAP_EXAMPLE_ROLE/],
    ["begins with the model", { messages: [answer, ask] }, /^LAP_EXAMPLE_ROLE: turn 1 has the role model, expected user/],
    ["has two users in sequence", { messages: [ask, ask] }, /^LAP_EXAMPLE_ROLE: turn 2 has the role user, expected model/],
    [
      "has a system text in the middle",
      { messages: [ask, { role: "system", content: "s" }] },
      /^LAP_EXAMPLE_ROLE: turn 2 is a system text/,
    ],
    ["has only a system text", { messages: [{ role: "system", content: "s" }] }, /^LAP_EXAMPLE_ROLE: the dialogue has only a system text/],
    ["ends with the user", { messages: [ask, answer, again] }, /^LAP_EXAMPLE_NO_ANSWER: the last turn of `messages`/],
    [
      "has a weight in a turn",
      { messages: [ask, { ...answer, weight: 0 }] },
      /^LAP_EXAMPLE_VALUE: `messages\[1\]\.weight` is a number, expected no further key/,
    ],
    ["has a prompt that ends with the model", { prompt: [ask, answer] }, /^LAP_EXAMPLE_ROLE: `prompt` ends with the role model/],
    ["has half of a surrogate pair", { text: "a\ud83d" }, /^LAP_EXAMPLE_NOT_UTF8: `text` contains half of a surrogate pair/],
    [
      "has two equal answers",
      { prompt: "a", chosen: "b", rejected: "b" },
      /^LAP_EXAMPLE_PAIR: the chosen and the rejected answer are equal/,
    ],
    [
      "has two equal dialogues",
      { chosen: [ask, answer], rejected: [ask, answer] },
      /^LAP_EXAMPLE_PAIR: the chosen and the rejected dialogue are equal/,
    ],
    ["has dialogues with different prompts", { chosen: [ask, answer], rejected: [again, answer] }, /^LAP_EXAMPLE_PAIR/],
    ["has one dialogue inside the other", { chosen: [ask, answer], rejected: [ask, answer, again, end] }, /^LAP_EXAMPLE_PAIR/],
    [
      "has texts without a prompt",
      { chosen: "a", rejected: "b" },
      /^LAP_EXAMPLE_FORMAT: `chosen` and `rejected` are texts without a `prompt`/,
    ],
    [
      "repeats another prompt",
      { prompt: "z", chosen: [ask, answer], rejected: [ask, end] },
      /^LAP_EXAMPLE_PAIR: `prompt` is not the common start/,
    ],
    ["has one dialogue and one answer", { prompt: "a", chosen: [ask, answer], rejected: "d" }, /^LAP_EXAMPLE_PAIR: one of/],
    [
      "has a margin that is not a number",
      { prompt: "a", chosen: "b", rejected: "c", margin: "1" },
      /^LAP_EXAMPLE_VALUE: `margin` is a string/,
    ],
  ];
  for (const [title, row, reason, options] of cases)
    it(`a row that ${title} is refused with its reason`, () => {
      match(refusal(row, options), reason);
    });

  it("a row of another format than most rows is refused by its line, so that a missing key does not make another kind of example", () => {
    const pair = { prompt: "a", completion: "b" };
    const { examples, refused, format } = parse([{ prompt: "a" }, pair, "", pair]);
    strictEqual(format, "completion");
    deepStrictEqual(
      examples.map(({ row }) => row),
      [2, 4],
    );
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [[1, "LAP_EXAMPLE_FORMAT"]],
    );
  });

  it("a row with bytes that are not UTF-8 is refused, and the other rows are read", () => {
    const bytes = Buffer.concat([lines({ text: "a" }, ""), Buffer.from('{"text": "\xe9"}\n', "latin1"), lines({ text: "é" })]);
    const { examples, refused } = parseExamples(bytes, "a.jsonl");
    deepStrictEqual(
      examples.map(({ row }) => row),
      [1, 3],
    );
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [[2, "LAP_EXAMPLE_NOT_UTF8"]],
    );
  });

  it("every row of hostile bytes is an example or is refused: none is lost, and none throws", () => {
    const json = fc.oneof(
      fc.json(),
      fc
        .dictionary(
          fc.constantFrom("messages", "prompt", "completion", "chosen", "rejected", "text", "subset", "__proto__"),
          fc.jsonValue(),
        )
        .map((row) => JSON.stringify(row)),
      fc.string().map((text) => text.replaceAll("\n", "")),
    );
    fc.assert(
      fc.property(fc.array(json), (rows) => {
        const { examples, refused } = parseExamples(lines("x", ...rows), "a.jsonl");
        const expected = ["x", ...rows].flatMap((row, at) => (row.trim() === "" ? [] : [at + 1]));
        deepStrictEqual(
          [...examples, ...refused].map(({ row }) => row).sort((a, b) => a - b),
          expected,
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("a file of examples", () => {
  const workspace = new Workspace();
  after(() => workspace.remove());
  const text = '\ufeff{"text": "a"}\r\n\r\n{"text": "b"}\r\n';

  it("JSON lines with Windows line breaks and a byte order mark, gzip of two members, and a JSON array give the same texts", () => {
    const folder = workspace.folder({
      "a.jsonl": text,
      "a.jsonl.gz": Buffer.concat([gzipSync('{"text": "a"}\n'), gzipSync('{"text": "b"}')]),
      "a.json": '[\n  {"text": "a"},\n  {"text": "b"}\n]\n',
    });
    for (const [name, rows] of [
      ["a.jsonl", [1, 3]],
      ["a.jsonl.gz", [1, 2]],
      ["a.json", [1, 2]],
    ] as const) {
      const { examples, refused } = readExamples(join(folder, name));
      deepStrictEqual(
        [examples.map((each) => [each.row, each.kind === "text" && each.text]), refused],
        [rows.map((row, i) => [row, "ab"[i]]), []],
        name,
      );
    }
  });

  it("a missing, damaged, binary or foreign file is a typed error", () => {
    const folder = workspace.folder({
      "cut.gz": gzipSync(text).subarray(0, 20),
      "table.parquet": "PAR1xxxxxxxxxxxx",
      "wide.jsonl": Buffer.from(`\ufeff${text}`, "utf16le"),
      "empty.jsonl": "\n\n",
      "bad.jsonl": "{\n",
    });
    throws(() => readExamples(join(folder, "none.jsonl")), hasCode("LAP_DATA_MISSING", "none.jsonl"));
    throws(() => readExamples(join(folder, "cut.gz")), hasCode("LAP_DATA_ARCHIVE", "cut.gz"));
    throws(() => readExamples(join(folder, "table.parquet")), hasCode("LAP_DATA_NOT_TEXT", "table.parquet"));
    throws(() => readExamples(join(folder, "wide.jsonl")), hasCode("LAP_DATA_NOT_TEXT", "wide.jsonl"));
    throws(() => readExamples(folder), hasCode("LAP_DATA_UNREADABLE", folder));
    throws(() => requireExamples(readExamples(join(folder, "empty.jsonl"))), hasCode("LAP_EXAMPLE_NONE", "empty.jsonl"));
    throws(() => requireExamples(readExamples(join(folder, "bad.jsonl"))), /the first is refused because row 1: the row is not JSON/);
  });

  it("the texts of rows are those of the file, and elements of an array are written as JSON", () => {
    const folder = workspace.folder({
      "rows.jsonl": '\ufeff{"prompt": "a"}\n\nbad\n {"prompt":"b"} \r\n{"prompt":"c"}',
      "rows.json": '[{"prompt": "a"}, {"prompt": "b"}]',
    });
    deepStrictEqual(rowTexts(join(folder, "rows.jsonl"), new Set([1, 4])), ['{"prompt": "a"}', '{"prompt":"b"}']);
    deepStrictEqual(rowTexts(join(folder, "rows.json"), new Set([2])), ['{"prompt":"b"}']);
  });
});
