import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { type Expression, expressionText, holds, type Scalar } from "./expression.js";
import { decides, limitsOf } from "./limits.js";
import { type Columns, parseExpression } from "./parse-expression.js";
import { parseRule, type Rule } from "./rule.js";

const columns: Columns = new Map([
  ["a", "number"],
  ["b", "number"],
  ["source", "text"],
]);

const number = fc.integer({ min: -3, max: 3 });
const leaf: fc.Arbitrary<Expression> = fc.oneof(
  fc.record({
    kind: fc.constant("compare" as const),
    left: fc.constantFrom({ column: "a" }, { column: "b" }),
    op: fc.constantFrom("<" as const, "<=" as const, ">" as const, ">=" as const, "==" as const),
    right: number.map((value) => ({ value })),
  }),
  fc.constant<Expression>({ kind: "in", left: { column: "source" }, list: ["web", 'the "other"'] }),
);
const { condition } = fc.letrec<{ condition: Expression }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    leaf,
    fc.record({ kind: fc.constant("not" as const), term: tie("condition") }),
    fc.record({ kind: fc.constantFrom("and" as const, "or" as const), terms: fc.array(tie("condition"), { minLength: 2, maxLength: 3 }) }),
  ),
}));
const document = fc.record({ a: fc.oneof(number, fc.constant(Number.NaN)), b: number, source: fc.constantFrom("web", "code") });
type Document = { readonly a: number; readonly b: number; readonly source: string };

const valueIn =
  (of: Document) =>
  (column: string): Scalar =>
    column === "a" ? of.a : column === "b" ? of.b : of.source;

const rulesOf = (conditions: readonly Expression[]): readonly Rule[] =>
  conditions.map((drop, i) => ({ name: `rule-${i}`, reason: `rule-${i}`, drop }));

describe("limits of rules", () => {
  it("the text of a condition is read as the same condition", () => {
    fc.assert(
      fc.property(condition, document, (expression, of) => {
        const text = expressionText(expression);
        strictEqual(holds(parseExpression(text, columns, "here"), valueIn(of)), holds(expression, valueIn(of)), text);
      }),
    );
  });

  it("the documents on which a limit decides say exactly who stays under another limit", () => {
    fc.assert(
      fc.property(
        fc.array(condition, { minLength: 1, maxLength: 3 }),
        fc.array(document, { maxLength: 12 }),
        number,
        (conditions, documents, moved) => {
          // A rule with one comparison shares its limit with other such rules, so that their numbers differ from those of the file.
          const rules = rulesOf(conditions.filter((each) => each.kind !== "compare"));
          const kept = documents.filter((of) => !rules.some(({ drop }) => holds(drop, valueIn(of))));
          for (const limit of limitsOf(rules)) {
            const decided = documents.flatMap((of) => {
              const value = decides(
                limit,
                rules.filter(({ drop }) => holds(drop, valueIn(of))),
                valueIn(of),
              );
              return value === undefined ? [] : [{ value, isKept: kept.includes(of) }];
            });
            const stays = (value: number): boolean =>
              value === moved ? !limit.dropsEqual : limit.drops === "below" ? value > moved : value < moved;
            const changed = limit.change.replace("{}", String(moved));
            const [name = "", text = ""] = [changed.slice(0, changed.indexOf(" = ")), changed.slice(changed.indexOf(" = ") + 3)];
            const after = rules.map((rule) => (rule.name === name ? { ...rule, drop: parseExpression(text, columns, "here") } : rule));
            const keptAfter = documents.filter((of) => !after.some(({ drop }) => holds(drop, valueIn(of)))).length;
            const expected =
              kept.length - decided.filter(({ isKept }) => isKept).length + decided.filter(({ value }) => stays(value)).length;
            strictEqual(expected, keptAfter, `${limit.limit} moved by ${changed}`);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a limit has the side that drops, through `not`, `unless` and numbers on the left", () => {
    const shown = (text: string): unknown =>
      limitsOf(parseRule("x", text, columns, "here").rules).map(({ limit, drops, dropsEqual, value, change }) => [
        limit,
        drops,
        dropsEqual,
        value,
        change,
      ]);
    deepStrictEqual(shown("a < 2"), [["a_min", "below", false, 2, "a_min = {}"]]);
    deepStrictEqual(shown("a < 2 unless b > 1"), [
      ["x: a < 2", "below", false, 2, "x = a < {} and not b > 1"],
      ["x: b > 1", "below", true, 1, "x = a < 2 and not b > {}"],
    ]);
    deepStrictEqual(shown("2 >= a"), [["x: 2 >= a", "below", true, 2, "x = {} >= a"]]);
    deepStrictEqual(shown('source in [web] or a == 1 or source == "code"'), []);
  });

  it("rules that name the same limit share it, because `whatif` changes all of them", () => {
    const rules = rulesOf([parseExpression("a < 2", columns, "here"), parseExpression("a < 3", columns, "here")]);
    const [limit, ...others] = limitsOf(rules);
    ok(limit !== undefined && others.length === 0);
    strictEqual(
      decides(limit, rules, () => 1),
      1,
    );
    strictEqual(
      decides(limit, [...rules, { name: "z", reason: "z", drop: { kind: "in", left: { column: "source" }, list: [] } }], () => 1),
      undefined,
    );
  });
});
