import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { type JsonValue, LapidaryError } from "@lapidary/std";
import { hostileText } from "@lapidary/std/testing";
import fc from "fast-check";
import { type CheckedRow, openChecker, parseChecker } from "../index.js";

const row = (answer: string, columns: Readonly<Record<string, JsonValue>> = {}, prompt = ""): CheckedRow => ({ prompt, answer, columns });

/** The score of one answer by a checker of these settings. */
async function score(settings: unknown, checked: CheckedRow): Promise<number> {
  const checker = await openChecker(parseChecker(settings, "reward.0"), "/", "reward.0");
  try {
    return await checker.check(checked);
  } finally {
    await checker.close();
  }
}

async function scores(settings: unknown, answers: readonly string[], columns: Readonly<Record<string, JsonValue>> = {}): Promise<number[]> {
  const checker = await openChecker(parseChecker(settings, "reward.0"), "/", "reward.0");
  const all = await Promise.all(answers.map((answer) => checker.check(row(answer, columns))));
  await checker.close();
  return all;
}

describe("the settings of a checker", () => {
  it("are a name, a name with keys, or the path of a module", () => {
    deepStrictEqual(parseChecker("sorted", "p"), { checker: "sorted" });
    deepStrictEqual(parseChecker({ checker: "exact" }, "p"), { checker: "exact", column: "answer", ignore_case: false });
    deepStrictEqual(parseChecker("./check.mjs", "p"), { checker: "module", path: "./check.mjs", limit_ms: 5000 });
    deepStrictEqual(parseChecker({ checker: "number", tolerance: 0.1 }, "p"), {
      checker: "number",
      column: "answer",
      take: "last",
      tolerance: 0.1,
      relative_tolerance: 0,
    });
  });

  it("are refused with the location of the mistake", () => {
    const refused = (value: unknown, message: RegExp, location = "p"): void =>
      throws(() => parseChecker(value, "p"), { code: "LAP_CHECKER_SETTING", message, location });
    refused("sortd", /there is no checker sortd/);
    refused("__proto__", /there is no checker __proto__/);
    refused(7, /the checker is 7, expected a name/);
    refused({ checker: "exact", colum: "a" }, /Unrecognized key: "colum"/);
    refused({ checker: "number", tolerance: -1 }, /expected number to be >=0/, "p.tolerance");
    refused({ checker: "regex" }, /expected either `pattern` or `column`/);
    refused({ checker: "regex", pattern: "a", column: "b" }, /expected either `pattern` or `column`/);
    refused({ checker: "regex", pattern: "a", flags: "g" }, /expected flags among/, "p.flags");
    refused({ checker: "./a.mjs", limit_ms: 0 }, />0/, "p.limit_ms");
    throws(
      () => parseChecker("sortd", "p"),
      (error: LapidaryError) => /did you mean sorted\?/.test(error.remedy),
    );
  });

  it("give a value or a typed error for any input", () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), hostileText(fc.constant("regex"))), (value) => {
        try {
          parseChecker(value, "p");
        } catch (error) {
          ok(error instanceof LapidaryError, String(error));
        }
      }),
    );
  });
});

describe("the checker exact", () => {
  it("compares without white space at the ends and in one form of Unicode", async () => {
    deepStrictEqual(await scores("exact", ["Zürich", " Zu\u0308rich\n", "zürich", "Zürich."], { answer: "Zürich" }), [1, 1, 0, 0]);
    deepStrictEqual(await scores({ checker: "exact", ignore_case: true }, ["YES", "yEs", "no"], { answer: ["yes", "y"] }), [1, 1, 0]);
    strictEqual(await score({ checker: "exact", column: "n" }, row("7", { n: 7 })), 1);
  });

  it("refuses a row without the right answer", async () => {
    const code = { code: "LAP_CHECKER_ROW" };
    await rejects(score("exact", row("a", { other: "a" })), { ...code, message: /no column answer; it has other/ });
    await rejects(score({ checker: "exact", column: "__proto__" }, row("a")), code);
    await rejects(score("exact", row("a", { answer: { text: "a" } })), code);
    await rejects(score("exact", row("a", { answer: [] })), code);
  });
});

describe("the checker number", () => {
  const right = (answer: string, expected: JsonValue, more: object = {}): Promise<number> =>
    score({ checker: "number", ...more }, row(answer, { answer: expected }));

  it("reads the last number of an answer", async () => {
    for (const [answer, expected] of [
      ["The answer is 42.", 42],
      ["3 apples and 4 pears make 7", 7],
      ["It costs $1,234.50 in total", 1234.5],
      ["x = -3", -3],
      ["x = −3", -3],
      ["-$3.50", -3.5],
      ["5-3", 3],
      ["about 50%", 50],
      ["Answer:.25", 0.25],
      ["6.02e23 atoms", 6.02e23],
      ["12km", 12],
      ["007", 7],
      ["1.50", "1.5"],
      ["1,000,000", "1000000"],
    ] as const)
      strictEqual(await right(answer, expected), 1, answer);
  });

  it("finds no number in words, versions, fractions, dates, times and ambiguous commas", async () => {
    for (const answer of ["none", "x2", "version 1.2.3", "1/2", "2020/01/02", "12:30", "1,2", "", "-", "."])
      for (const expected of [1, 2, 3, 12, 30, 0.5, 2020]) strictEqual(await right(answer, expected), 0, `${answer} as ${expected}`);
  });

  it("compares decimals digit by digit, beyond the precision of a double", async () => {
    deepStrictEqual(
      [await right("9007199254740993", "9007199254740992"), await right("9007199254740993", "9,007,199,254,740,993.0")],
      [0, 1],
    );
    deepStrictEqual([await right("0.30000000000000004", "0.3"), await right("1e3", 1000), await right("-0", 0)], [0, 1, 1]);
  });

  it("allows the larger of both tolerances", async () => {
    strictEqual(await right("3.14", 3.14159, { tolerance: 0.002 }), 1);
    strictEqual(await right("3.14", 3.14159, { tolerance: 0.001 }), 0);
    strictEqual(await right("1010", 1000, { relative_tolerance: 0.01 }), 1);
    strictEqual(await right("1011", 1000, { relative_tolerance: 0.01 }), 0);
  });

  it("with take: whole refuses words around the number", async () => {
    deepStrictEqual(await scores({ checker: "number", take: "whole" }, [" 42\n", "42.", "is 42", "42 43"], { answer: 42 }), [1, 0, 0, 0]);
  });

  it("reads back every number that is written as text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), async (x, n) => {
        strictEqual(await right(`so ${x} it is`, x), 1);
        strictEqual(await right(`so ${n.toLocaleString("en-US")}.`, n), 1);
      }),
    );
  });

  it("refuses a row whose right answer is not a number", async () => {
    for (const answer of ["seven", "1/2", true, null]) await rejects(right("7", answer), { code: "LAP_CHECKER_ROW" });
  });

  it("scores long answers of digits and commas", async () => {
    // A pattern with quadratic backtracking would take minutes here.
    for (const answer of ["1".repeat(300_000), "1,".repeat(150_000), "111,".repeat(75_000), "1.".repeat(150_000), "-".repeat(300_000)])
      strictEqual(await right(answer, 7), 0);
  });
});

describe("the checker sorted", () => {
  const sorted = (prompt: string, answer: string): Promise<number> => score("sorted", row(answer, {}, prompt));

  it("is 1 for the characters of the prompt in ascending order only", async () => {
    deepStrictEqual([await sorted("52341", "12345"), await sorted("52341", "12345\n"), await sorted("33100", "00133")], [1, 1, 1]);
    deepStrictEqual([await sorted("52341", "54321"), await sorted("52341", "1234"), await sorted("52341", "123455")], [0, 0, 0]);
    strictEqual(await score({ checker: "sorted", column: "digits" }, row("19", { digits: "91" }, "Sort: 91")), 1);
  });

  it("orders by code points, also outside of the basic plane", async () => {
    strictEqual(await sorted("\u{1F600}\uFF5Ea", "a\uFF5E\u{1F600}"), 1);
  });

  it("accepts one permutation of the prompt", async () => {
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^\d{5}$/), fc.stringMatching(/^\d{5}$/), async (prompt, other) => {
        const ascending = [...prompt].sort().join("");
        strictEqual(await sorted(prompt, ascending), 1);
        strictEqual(await sorted(prompt, other), other === ascending ? 1 : 0);
      }),
    );
  });
});

describe("the checker regex", () => {
  it("searches the answer, or matches all of it", async () => {
    deepStrictEqual(await scores({ checker: "regex", pattern: "\\d+" }, ["a 12 b", "12", "none"]), [1, 1, 0]);
    deepStrictEqual(await scores({ checker: "regex", pattern: "a|b", match: "whole" }, ["a", "b", "ab", "a\n"]), [1, 1, 0, 0]);
    deepStrictEqual(await scores({ checker: "regex", pattern: "^b$", flags: "mu" }, ["a\nb"]), [1]);
    deepStrictEqual(await scores({ checker: "regex", pattern: "b", flags: "mu", match: "whole" }, ["a\nb", "b"]), [0, 1]);
    strictEqual(await score({ checker: "regex", column: "pattern" }, row("yes", { pattern: "^yes$" })), 1);
  });

  it("refuses an invalid or oversized pattern, in the settings or in the row", async () => {
    const setting = { code: "LAP_CHECKER_SETTING" };
    await rejects(score({ checker: "regex", pattern: "(" }, row("a")), { ...setting, message: /invalid: Unterminated group$/ });
    await rejects(score({ checker: "regex", pattern: "a)|(b", match: "whole" }, row("a")), setting);
    await rejects(score({ checker: "regex", pattern: "a", flags: "uv" }, row("a")), setting);
    await rejects(score({ checker: "regex", column: "pattern" }, row("a", { pattern: "[" })), { code: "LAP_CHECKER_ROW" });
    await rejects(score({ checker: "regex", pattern: "x?".repeat(20_000) }, row("a")), { ...setting, message: /invalid: Stack overflow$/ });
  });

  it("stops a match that takes exponential time, and checks the next answer", async () => {
    const checker = await openChecker(parseChecker({ checker: "regex", pattern: "^(a+)+$", limit_ms: 50 }, "reward.0"), "/", "reward.0");
    await rejects(checker.check(row(`${"a".repeat(60)}!`)), { code: "LAP_CHECKER_TIMEOUT", location: "reward.0" });
    strictEqual(await checker.check(row("aaa")), 1);
    await checker.close();
    // The engine takes this time to compile the pattern.
    const large = { checker: "regex", pattern: "(?:(?:(?:a?b?){100}){100}){100}x", limit_ms: 50 };
    await rejects(score(large, row("ab".repeat(500))), { code: "LAP_CHECKER_TIMEOUT" });
  });

  it("gives a score or a typed error for any pattern, flags and answer", async () => {
    const patterns = fc.oneof(hostileText(fc.constant("^(?<a>a|b)+\\k<a>[^\\d]{2,3}$")), fc.string());
    const flags = fc.constantFrom("", "u", "v", "i", "ms", "uv");
    await fc.assert(
      fc.asyncProperty(patterns, flags, fc.constantFrom("search", "whole"), fc.string(), async (pattern, some, match, answer) => {
        try {
          ok([0, 1].includes(await score({ checker: "regex", pattern, flags: some, match }, row(answer))));
        } catch (error) {
          ok(error instanceof LapidaryError, String(error));
        }
      }),
    );
  });
});

describe("the checker json-schema", () => {
  const schema = {
    type: "object",
    properties: { name: { type: "string", pattern: "^[a-z]+$" }, age: { type: "integer", minimum: 0 } },
    required: ["name"],
    additionalProperties: false,
  };

  it("is 1 for JSON of the schema only", async () => {
    const answers = [
      '{"name":"ada"}',
      ' {"name":"ada","age":36}\n',
      '{"name":"Ada"}',
      '{"age":1}',
      '{"name":"a","x":1}',
      "name",
      "",
      "```{}```",
    ];
    deepStrictEqual(await scores({ checker: "json-schema", schema }, answers), [1, 1, 0, 0, 0, 0, 0, 0]);
    const ofRow = { checker: "json-schema", column: "schema" };
    deepStrictEqual(
      [await score(ofRow, row("[1]", { schema: { type: "array" } })), await score(ofRow, row("1", { schema: false }))],
      [1, 0],
    );
  });

  it("reads draft 2020-12, and draft-07 if the schema names it", async () => {
    const items = [{ type: "string" }, { type: "number" }];
    deepStrictEqual(await scores({ checker: "json-schema", schema: { prefixItems: items } }, ['["a",1]', '["a","b"]']), [1, 0]);
    const draft7 = { $schema: "http://json-schema.org/draft-07/schema#", items };
    deepStrictEqual(await scores({ checker: "json-schema", schema: draft7 }, ['["a",1]', '["a","b"]']), [1, 0]);
  });

  it("refuses a schema that it cannot evaluate", async () => {
    for (const bad of [
      { type: "text" },
      { typ: "string" },
      { type: "string", format: "email" },
      { $ref: "https://example.com/schema.json" },
      { $schema: "http://json-schema.org/draft-04/schema#" },
      { $ref: "#" },
      { pattern: "(" },
      { $async: true, type: "string" },
      { items: { $async: true, type: "string" } },
      7,
      [],
    ])
      await rejects(score({ checker: "json-schema", schema: bad }, row("1")), { code: "LAP_CHECKER_SETTING" }, JSON.stringify(bad));
    await rejects(score({ checker: "json-schema", column: "s" }, row("1", { s: { type: "text" } })), { code: "LAP_CHECKER_ROW" });
    await rejects(score({ checker: "json-schema", column: "s" }, row("1")), { code: "LAP_CHECKER_ROW" });
  });

  it("scores 0 for an answer that nests too deeply, also with a recursive schema", async () => {
    const recursive = { type: "array", items: { $ref: "#" } };
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    deepStrictEqual(await scores({ checker: "json-schema", schema: recursive }, [nested(200), nested(100_000)]), [1, 0]);
  });

  it("stops a pattern of the schema that takes exponential time", async () => {
    const slow = { checker: "json-schema", schema: { type: "string", pattern: "^(a+)+$" }, limit_ms: 50 };
    await rejects(score(slow, row(`"${"a".repeat(60)}!"`)), { code: "LAP_CHECKER_TIMEOUT" });
  });

  it("gives a score or a typed error for any schema and any answer", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), hostileText(fc.constant('{"name":"ada"}')), async (any, answer) => {
        try {
          ok([0, 1].includes(await score({ checker: "json-schema", schema: any }, row(answer))));
        } catch (error) {
          ok(error instanceof LapidaryError, String(error));
        }
      }),
    );
  });
});
