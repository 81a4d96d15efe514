import { type Comparison, type Expression, expressionText, holds, type Scalar } from "./expression.js";
import { limitNamesOf, type Rule } from "./rule.js";

/** A comparison of a measure with a number, which stands in a condition. */
type Compare = Extract<Expression, { readonly kind: "compare" }>;

/** A number in the rules that can be moved: a document is dropped if its value is on the wrong side of it. */
export interface RuleLimit {
  /** `gopher.words_min`, or `NAME: quality.prose < 0.05` inside a longer condition. */
  readonly limit: string;
  readonly rule: string;
  /** Of the documents that the rule drops. */
  readonly reason: string;
  readonly column: string;
  readonly value: number;
  /** Values for which the rule can drop: below, or above the limit. */
  readonly drops: "below" | "above";
  /** Whether a value that equals the limit is dropped too. */
  readonly dropsEqual: boolean;
  /** The change for `lapidary data whatif`, with `{}` in the place of the number. */
  readonly change: string;
  /** The rules that have the limit, and the comparisons in them. */
  readonly rules: readonly Rule[];
  readonly comparisons: ReadonlySet<Expression>;
}

/** All limits of rules, in their order. Rules that name the same limit of a preset share it. */
export function limitsOf(rules: readonly Rule[]): readonly RuleLimit[] {
  const limits = new Map<string, RuleLimit>();
  for (const rule of rules) {
    const [simple] = limitNamesOf(rule);
    for (const { comparison, column, op: written, value, isNegated } of comparisonsOf(rule.drop, false)) {
      const op = isNegated ? negated[written] : written;
      const text = `${rule.name}: ${expressionText(comparison)}`;
      const limit = simple ?? uniqueIn(limits, text);
      const shared = simple === undefined ? undefined : limits.get(simple);
      limits.set(limit, {
        limit,
        rule: rule.name,
        reason: shared?.reason ?? rule.reason,
        column,
        value: shared?.value ?? value,
        drops: op === "<" || op === "<=" ? "below" : "above",
        dropsEqual: op === "<=" || op === ">=",
        change: simple === undefined ? `${rule.name} = ${expressionText(rule.drop, comparison)}` : `${simple} = {}`,
        rules: [...(shared?.rules ?? []), rule],
        comparisons: new Set([...(shared?.comparisons ?? []), comparison]),
      });
    }
  }
  return [...limits.values()];
}

/**
 * The value of a document that a limit compares; undefined if the limit does not decide on the document.
 *
 * @param dropping the rules that drop the document
 */
export function decides(
  { rules, comparisons, column }: RuleLimit,
  dropping: readonly Rule[],
  valueOf: (column: string) => Scalar,
): number | undefined {
  if (dropping.some((rule) => !rules.includes(rule))) return undefined;
  const value = valueOf(column);
  if (typeof value !== "number" || Number.isNaN(value)) return undefined;
  const drops = (is: boolean): boolean => rules.some(({ drop }) => holds(drop, valueOf, { comparisons, is }));
  return drops(true) === drops(false) ? undefined : value;
}

const negated: Readonly<Record<Comparison, Comparison>> = { "<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "==" };
const mirrored: Readonly<Record<Comparison, Comparison>> = { "<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!=" };
const ordered: readonly Comparison[] = ["<", "<=", ">", ">="];

interface Found {
  readonly comparison: Compare;
  readonly column: string;
  /** As if the column were on the left. */
  readonly op: Comparison;
  readonly value: number;
  readonly isNegated: boolean;
}

function comparisonsOf(expression: Expression, isNegated: boolean): readonly Found[] {
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.terms.flatMap((term) => comparisonsOf(term, isNegated));
    case "not":
      return comparisonsOf(expression.term, !isNegated);
    case "in":
      return [];
    case "compare": {
      const { left, op, right } = expression;
      if (!ordered.includes(op)) return [];
      if ("column" in left && "value" in right && typeof right.value === "number")
        return [{ comparison: expression, column: left.column, op, value: right.value, isNegated }];
      if ("value" in left && "column" in right && typeof left.value === "number")
        return [{ comparison: expression, column: right.column, op: mirrored[op], value: left.value, isNegated }];
      return [];
    }
  }
}

function uniqueIn(limits: ReadonlyMap<string, unknown>, name: string): string {
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${name} (${n})`;
    if (!limits.has(candidate)) return candidate;
  }
}
