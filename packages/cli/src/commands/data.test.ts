import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkExamples, showExamples } from "@lapidary/offline/examples";
import { ExitCode } from "@lapidary/std";
import { expectText } from "@lapidary/std/testing";
import { countsText, shownText } from "@lapidary/report/examples-text";
import { makePaint } from "@lapidary/report/paint";
import { runCli } from "../testing/cli-process.js";

const directory = fileURLToPath(new URL("../../src/commands/testdata/examples", import.meta.url));
const directories = { cwd: directory, home: join(directory, "no-home") };

type Refusal = readonly [row: number, code: string, reason: RegExp];

/** What `lapidary data check` says about each file of the directory `examples`. */
const files: readonly { file: string; format: string | undefined; examples: number; refused?: readonly Refusal[] }[] = [
  { file: "messages.jsonl", format: "messages", examples: 3 },
  { file: "sharegpt.jsonl", format: "sharegpt", examples: 2 },
  { file: "completion-text.jsonl", format: "completion", examples: 2 },
  { file: "completion-messages.jsonl", format: "completion", examples: 2 },
  { file: "alpaca.json", format: "alpaca", examples: 3 },
  { file: "preference.jsonl", format: "preference", examples: 2 },
  { file: "preference-dialogues.jsonl", format: "preference", examples: 2 },
  { file: "prompt.jsonl", format: "prompt", examples: 2 },
  { file: "text.jsonl", format: "text", examples: 2 },
  { file: "subsets.jsonl.gz", format: "messages", examples: 4 },
  { file: "control-tokens.jsonl", format: "messages", examples: 2, refused: [[2, "LAP_EXAMPLE_FORMAT", /formats messages and text/]] },
  {
    file: "not-json.jsonl",
    format: "text",
    examples: 2,
    refused: [
      [2, "LAP_EXAMPLE_JSON", /not JSON/],
      [4, "LAP_EXAMPLE_JSON", /a list/],
      [5, "LAP_EXAMPLE_JSON", /a string/],
      [6, "LAP_EXAMPLE_JSON", /not JSON/],
    ],
  },
  {
    file: "roles.jsonl",
    format: "messages",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_ROLE", /turn 1 has the role model/],
      [3, "LAP_EXAMPLE_ROLE", /turn 2 has the role user/],
      [4, "LAP_EXAMPLE_ROLE", /unknown role "tool"/],
      [5, "LAP_EXAMPLE_ROLE", /turn 2 is a system text/],
      [6, "LAP_EXAMPLE_ROLE", /only a system text/],
    ],
  },
  {
    file: "no-answer.jsonl",
    format: "messages",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_NO_ANSWER", /not an answer of the model/],
      [3, "LAP_EXAMPLE_FORMAT", /the format completion/],
    ],
  },
  {
    file: "empty-text.jsonl",
    format: "messages",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_EMPTY", /`messages\[1\].content` is empty/],
      [3, "LAP_EXAMPLE_EMPTY", /`messages\[0\].content` is empty/],
      [4, "LAP_EXAMPLE_EMPTY", /`messages` is empty/],
    ],
  },
  {
    file: "unknown-key.jsonl",
    format: "completion",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_KEY", /`wieght`/],
      [3, "LAP_EXAMPLE_KEY", /`sourc`/],
      [4, "LAP_EXAMPLE_FORMAT", /the format prompt/],
      [5, "LAP_EXAMPLE_FORMAT", /the format messages/],
    ],
  },
  {
    file: "mixed-formats.jsonl",
    format: "messages",
    examples: 2,
    refused: [
      [2, "LAP_EXAMPLE_FORMAT", /the format text/],
      [4, "LAP_EXAMPLE_FORMAT", /the format alpaca/],
    ],
  },
  {
    file: "wrong-types.jsonl",
    format: "messages",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_VALUE", /`messages` is a string/],
      [3, "LAP_EXAMPLE_VALUE", /`messages\[0\].content` is a number/],
      [4, "LAP_EXAMPLE_VALUE", /`messages\[1\].content` is null/],
      [5, "LAP_EXAMPLE_VALUE", /`messages\[0\].role` is a number/],
      [6, "LAP_EXAMPLE_VALUE", /`messages\[0\]` is a string/],
      [7, "LAP_EXAMPLE_VALUE", /`subset` is a number/],
    ],
  },
  {
    file: "bad-pairs.jsonl",
    format: "preference",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_PAIR", /are equal/],
      [3, "LAP_EXAMPLE_FORMAT", /without a `prompt`/],
      [4, "LAP_EXAMPLE_PAIR", /do not first differ in an answer/],
      [5, "LAP_EXAMPLE_VALUE", /`margin` is a string/],
      [6, "LAP_EXAMPLE_FORMAT", /the format prompt/],
    ],
  },
  {
    file: "not-utf8.jsonl",
    format: "text",
    examples: 1,
    refused: [
      [2, "LAP_EXAMPLE_NOT_UTF8", /not valid UTF-8/],
      [3, "LAP_EXAMPLE_NOT_UTF8", /half of a surrogate pair/],
    ],
  },
  { file: "empty.jsonl", format: undefined, examples: 0 },
  {
    file: "no-format.jsonl",
    format: undefined,
    examples: 0,
    refused: [
      [1, "LAP_EXAMPLE_FORMAT", /`question`, `answer` match no format/],
      [2, "LAP_EXAMPLE_FORMAT", /messages and text/],
      [3, "LAP_EXAMPLE_FORMAT", /no keys/],
    ],
  },
];

describe("lapidary data", () => {
  for (const { file, format, examples, refused = [] } of files)
    it(`check finds ${examples} examples and ${refused.length} refused rows in ${file}`, () => {
      const counts = checkExamples(directories, { file, format: undefined });
      deepStrictEqual([counts.format, counts.examples, counts.rows], [format, examples, examples + refused.length]);
      deepStrictEqual(
        counts.refused.map(({ row, code }) => [row, code]),
        refused.map(([row, code]) => [row, code]),
      );
      const text = countsText(counts, makePaint(false));
      refused.forEach(([row, code, reason], at) => {
        match(counts.refused[at]?.reason ?? "", reason);
        ok(text.includes(`row ${row}: ${code}: `), text);
      });
      strictEqual(text.includes("the file has no usable row"), examples === 0);
    });

  it("the table of a row shows its tokens and their mask, for each answer of a preference", async () => {
    const shown = await showExamples(directories, { file: "preference.jsonl", format: undefined, tokenizer: undefined, rows: [2, 2] });
    expectText(shownText(shown, makePaint(false)), new URL("../../src/commands/testdata/preference-row.txt", import.meta.url));
  });

  it("every example of every file can be shown, and no text becomes a control token", async () => {
    for (const { file, examples } of files) {
      const { shown, rows } = await showExamples(directories, { file, format: undefined, tokenizer: undefined, rows: undefined });
      strictEqual(shown.length, Math.min(examples, 1), `${file} with ${rows} rows`);
      for (const { kind, documents } of shown)
        for (const { ids, pieces, mask } of documents) {
          deepStrictEqual([ids.filter((id) => id === 2).length, ids[0], mask[0], pieces[0]], [1, 2, 0, "<bos>"], file);
          strictEqual(mask.includes(1), kind !== "prompt", file);
        }
    }
  });

  it("a row that is refused, and a row that does not exist, are errors", async () => {
    const request = { file: "roles.jsonl", format: undefined, tokenizer: undefined } as const;
    const { shown, notShown } = await showExamples(directories, { ...request, rows: [1, 2] });
    deepStrictEqual([shown.map(({ row }) => row), notShown.map(({ row, code }) => [row, code])], [[1], [[2, "LAP_EXAMPLE_ROLE"]]]);
    const error = await showExamples(directories, { ...request, rows: [7, 9] }).catch((reason: unknown) => reason);
    deepStrictEqual((error as { code: string }).code, "LAP_EXAMPLE_ROW");
  });

  it("the exit code is 0 if every row is an example, and 2 otherwise", async () => {
    const run = async (...args: string[]): Promise<readonly [number | null, Record<string, unknown>]> => {
      const { code, stdout } = await runCli(["data", ...args, "--json"], { cwd: directory });
      return [code, JSON.parse(stdout) as Record<string, unknown>];
    };
    const [good, goodJson] = await run("check", "subsets.jsonl.gz");
    deepStrictEqual([good, goodJson["ok"], goodJson["subsets"]], [ExitCode.done, true, { refusal: 2, attribution: 1 }]);
    const [bad, badJson] = await run("check", "roles.jsonl");
    deepStrictEqual([bad, badJson["ok"], badJson["rows"], badJson["examples"]], [ExitCode.usage, false, 6, 1]);
    const [given, givenJson] = await run("check", "completion-text.jsonl", "--format", "text");
    deepStrictEqual([given, givenJson["format"], givenJson["detected"]], [ExitCode.usage, "text", false]);
    const [shown, shownJson] = await run("show", "messages.jsonl", "--row", "3");
    deepStrictEqual([shown, (shownJson["shown"] as { row: number }[]).map(({ row }) => row)], [ExitCode.done, [3]]);
    for (const args of [
      ["--row", "0"],
      ["--rows", "3-1"],
      ["--row", "1", "--rows", "1-2"],
      ["--format", "chat"],
    ]) {
      const [code, json] = await run("show", "text.jsonl", ...args);
      deepStrictEqual([code, (json["error"] as { code: string }).code], [ExitCode.usage, "LAP_CLI_ARGUMENT"], args.join(" "));
    }
  }).timeout(60_000);
});
