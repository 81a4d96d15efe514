import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { patternWords, presets, droppedBy, TextMeter } from "@lapidary/text-filters";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { type Expression, holds, type Scalar } from "./expression.js";
import { type Columns, parseExpression } from "./parse-expression.js";
import { firstRule, limitChangeOf, parseRule, withLimit } from "./rule.js";

const columns: Columns = new Map([
  ["a", "number"],
  ["b", "number"],
  ["quality.prose", "number"],
  ["source", "text"],
  ["language", "text"],
]);

const decide = (text: string, values: Readonly<Record<string, Scalar>>): boolean =>
  holds(parseExpression(text, columns, "rule"), (column) => values[column] ?? Number.NaN);

/** A condition as text and as a function of `a` and `b`, both made alike. */
const condition: fc.Arbitrary<readonly [string, (a: number, b: number) => boolean]> = fc.letrec<{
  readonly tree: readonly [string, (a: number, b: number) => boolean];
}>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.integer({ min: -3, max: 3 }).map((n) => [`a < ${n}`, (a: number) => a < n] as const),
    fc.integer({ min: -3, max: 3 }).map((n) => [`b >= ${n}`, (_: number, b: number) => b >= n] as const),
    fc
      .tuple(tie("tree"), tie("tree"))
      .map(([x, y]) => [`(${x[0]}) and (${y[0]})`, (a: number, b: number) => x[1](a, b) && y[1](a, b)] as const),
    fc
      .tuple(tie("tree"), tie("tree"))
      .map(([x, y]) => [`(${x[0]}) or (${y[0]})`, (a: number, b: number) => x[1](a, b) || y[1](a, b)] as const),
    fc
      .tuple(tie("tree"), tie("tree"))
      .map(([x, y]) => [`(${x[0]}) unless (${y[0]})`, (a: number, b: number) => x[1](a, b) && !y[1](a, b)] as const),
    tie("tree").map((x) => [`not (${x[0]})`, (a: number, b: number) => !x[1](a, b)] as const),
  ),
})).tree;

describe("rules", () => {
  it("a condition decides as its operators say, for every nesting", () => {
    fc.assert(
      fc.property(condition, fc.integer({ min: -4, max: 4 }), fc.integer({ min: -4, max: 4 }), ([text, expected], a, b) => {
        strictEqual(decide(text, { a, b }), expected(a, b), text);
      }),
    );
  });

  it("`and` binds more tightly than `or`, and `unless` excludes the whole condition before it", () => {
    strictEqual(decide("a < 1 or a < 2 and b < 1", { a: 0, b: 5 }), true);
    strictEqual(decide("a < 1 or a < 2 unless b > 1", { a: 0, b: 5 }), false);
    strictEqual(decide("quality.prose < 35% unless source in [maths, code]", { "quality.prose": 0.3, source: "web" }), true);
    strictEqual(decide("quality.prose < 35% unless source in [maths, code]", { "quality.prose": 0.3, source: "code" }), false);
    strictEqual(decide(`language != "en" and source not in [code]`, { language: "de", source: "web" }), true);
  });

  it("a comparison with a missing value does not hold", () => {
    for (const op of ["<", "<=", ">", ">=", "==", "!="]) strictEqual(decide(`a ${op} 1`, { a: Number.NaN }), false, op);
  });

  const mistakes: readonly [text: string, message: RegExp, remedy: RegExp][] = [
    ["quality.pros < 1", /unknown column quality\.pros at character 1/, /quality\.prose/],
    ["a = 1", /unexpected "=" at character 3/, /==/],
    ["a <", /unexpected the end at character 4/, /column/],
    ["a < 'x'", /unexpected "a"/, /number and a text/],
    ["source < 'x'", /unexpected "source"/, /== or !=/],
    ["a < 1 b < 2", /unexpected "b" at character 7/, /and/],
    ["a < 1 && b < 2", /unexpected "&" at character 7/, /`and`/],
    ["source in [1]", /unexpected "1"/, /text/],
    ["source in web", /unexpected "web" at character 11/, /\[/],
    ["1 < 2", /unexpected "1"/, /column/],
    ["(a < 1", /unexpected the end/, /\)/],
    ["", /unexpected the end at character 1/, /column/],
  ];
  for (const [text, message, remedy] of mistakes)
    it(`the condition ${JSON.stringify(text)} is refused with its place and a remedy`, () => {
      throws(
        () => parseExpression(text, columns, "file:3:4"),
        (error) => {
          if (!(error instanceof LapidaryError)) return false;
          deepStrictEqual(
            [error.code, error.location, message.test(error.message), remedy.test(error.remedy)],
            ["LAP_DATA_RULE", "file:3:4", true, true],
          );
          return true;
        },
      );
    });

  const meter = new TextMeter(patternWords);
  const measured = meter.measure("The words of a text that is short.").measures;
  const presetColumns: Columns = new Map(Object.keys(measured).map((name) => [name, "number"]));
  const parts = ["gopher_repetition", "gopher_quality"].flatMap((name) => presets.find((preset) => preset.name === name)?.rules ?? []);

  it("the rules of a preset give the reasons of the published filters", () => {
    const { rules } = parseRule("gopher", "preset gopher-2021", presetColumns, "here");
    for (const text of [
      "",
      "one two three",
      "the of and ".repeat(40),
      "# ... \n- x\n- y\n",
      "Words with that and have, of which the length differs.\n".repeat(9),
    ]) {
      const measures: Readonly<Record<string, number>> = { ...meter.measure(text).measures };
      strictEqual(firstRule(rules, (column) => measures[column] ?? Number.NaN)?.reason, droppedBy(parts, meter.measure(text).measures));
    }
  });

  it("a limit of a preset changes one rule, in the file and in a question", () => {
    const inFile = parseRule(
      "gopher",
      "preset gopher-2021 with gopher.words_min = 5, gopher.alphabetic_min = 60%",
      presetColumns,
      "here",
    ).rules;
    const { rules } = parseRule("gopher", "preset gopher-2021", presetColumns, "here");
    const change = limitChangeOf("gopher.words_min = 5");
    const alphabetic = limitChangeOf("gopher.alphabetic_min=0.6");
    if (change === undefined || alphabetic === undefined) throw new Error("a change of a limit was not understood");
    deepStrictEqual(withLimit(withLimit(rules, change, "here"), alphabetic, "here"), inFile);
    strictEqual(inFile.filter((rule, i) => rule !== rules[i] && JSON.stringify(rule) !== JSON.stringify(rules[i])).length, 2);
    throws(() => withLimit(rules, { measure: "gopher.word", side: "min", value: 1 }, "here"), {
      code: "LAP_DATA_RULE",
      remedy: /gopher\.words_min/,
    });
  });

  it("an unknown preset and a preset without its measures are refused with a remedy", () => {
    throws(() => parseRule("g", "preset gopher-2020", presetColumns, "here"), { code: "LAP_DATA_RULE", remedy: /gopher-2021/ });
    throws(() => parseRule("g", "preset gopher-2021", columns, "here"), {
      code: "LAP_DATA_RULE",
      remedy: /add gopher to the stage measure/,
    });
    throws(() => parseRule("g", "preset gopher-2021 with words = 4", presetColumns, "here"), {
      code: "LAP_DATA_RULE",
      message: /invalid limit/,
    });
  });

  it("an expression is JSON, so that it can be part of a key", () => {
    const expression: Expression = parseExpression("not (a < 1 or source in [x]) and b == 2", columns, "rule");
    deepStrictEqual(JSON.parse(JSON.stringify(expression)), expression);
  });
});
