import { presets as published } from "@lapidary/text-filters";
import { ensure, suggest } from "@lapidary/std";
import { type Expression, holds, type Scalar } from "./expression.js";
import { type Columns, parseExpression } from "./parse-expression.js";
import { ruleError } from "./rule-error.js";

/** A named condition that drops a document. */
export interface Rule {
  /** The reason in the account. */
  readonly reason: string;
  /** The name in the pipeline file. */
  readonly name: string;
  readonly drop: Expression;
}

/** The rules of a stage, and whether they also cut lines as C4 does. */
export interface RuleSet {
  readonly rules: readonly Rule[];
  readonly cutsLines: boolean;
}

/** Names of presets → the published filters, in the order in which datatrove applies them to FineWeb. */
const presetParts = {
  "gopher-2021": ["gopher_repetition", "gopher_quality"],
  "gopher-quality": ["gopher_quality"],
  "gopher-repetition": ["gopher_repetition"],
  "c4-2020": ["c4_quality"],
  "fineweb-2024": ["fineweb_quality"],
} as const;
const presetNames: readonly string[] = Object.keys(presetParts);
const isPreset = (name: string): name is keyof typeof presetParts => Object.hasOwn(presetParts, name);

const presetPattern = /^preset\s+(\S+)(?:\s+with\s+(.+))?$/s;
const changePattern = /^([\w.-]+_(?:min|max))\s*=\s*(-?[\d.]+(?:e[+-]?\d+)?)(%?)$/i;

/** A changed limit of a preset: `gopher.words_min = 40`. */
export interface LimitChange {
  readonly measure: string;
  readonly side: "min" | "max";
  readonly value: number;
}

/** The change that a text such as `gopher.words_min = 40` means; undefined if it has another form. */
export function limitChangeOf(text: string): LimitChange | undefined {
  const match = changePattern.exec(text.trim());
  if (match === null) return undefined;
  const [, name = "", number = "", percent] = match;
  const value = percent === "%" ? Number(number) / 100 : Number(number);
  return { measure: name.slice(0, -4), side: name.endsWith("_min") ? "min" : "max", value };
}

/**
 * The rules of `NAME: preset PRESET [with LIMIT = NUMBER, …]` or `NAME: CONDITION`.
 *
 * @throws LapidaryError LAP_DATA_RULE
 */
export function parseRule(name: string, text: string, columns: Columns, location: string): RuleSet {
  const preset = presetPattern.exec(text.trim());
  if (preset === null) return { rules: [{ reason: name, name, drop: parseExpression(text, columns, location) }], cutsLines: false };
  const [, presetName = "", changes] = preset;
  if (!isPreset(presetName))
    throw ruleError(
      `rule ${name} names an unknown preset ${presetName}`,
      location,
      `write ${suggest(presetName, presetNames) ?? "a preset"}; the presets are ${presetNames.join(", ")}`,
    );
  let rules = presetRules(name, presetName);
  for (const change of (changes ?? "").split(",").filter((each) => each.trim() !== "")) {
    const limit = limitChangeOf(change);
    if (limit === undefined)
      throw ruleError(
        `rule ${name} has an invalid limit ${JSON.stringify(change.trim())}`,
        location,
        "write a limit such as gopher.words_min = 40",
      );
    rules = withLimit(rules, limit, location);
  }
  const missing = rules
    .flatMap(({ drop }) => (drop.kind === "compare" && "column" in drop.left ? [drop.left.column] : []))
    .find((column) => !columns.has(column));
  if (missing !== undefined)
    throw ruleError(
      `preset ${presetName} needs the measure ${missing}`,
      location,
      `add ${missing === "characters" ? "gopher" : groupOf(missing)} to the stage measure before the rules`,
    );
  return { rules, cutsLines: presetName === "c4-2020" };
}

/** The group of the stage `measure` that has a column. */
const groupOf = (column: string): string => {
  const [group = column] = column.split(".");
  return group === "repetition" ? "gopher" : group;
};

function presetRules(name: string, preset: keyof typeof presetParts): readonly Rule[] {
  const parts = presetParts[preset].map((part) =>
    ensure(
      published.find((each) => each.name === part),
      part,
    ),
  );
  return parts.flatMap(({ rules }) =>
    rules.map(({ reason, measure, below, above }): Rule => {
      const [op, value] = below === undefined ? ([">", above ?? Number.POSITIVE_INFINITY] as const) : (["<", below] as const);
      return { reason, name, drop: { kind: "compare", left: { column: measure }, op, right: { value } } };
    }),
  );
}

/**
 * Rules with one limit changed. `min` changes what drops values below it, `max` what drops values above it.
 *
 * @throws LapidaryError LAP_DATA_RULE if no rule has the limit
 */
export function withLimit(rules: readonly Rule[], { measure, side, value }: LimitChange, location: string): readonly Rule[] {
  const op = side === "min" ? "<" : ">";
  const names = rules.flatMap((rule) => limitNamesOf(rule));
  const wanted = `${measure}_${side}`;
  if (!names.includes(wanted))
    throw ruleError(
      `no rule has a limit ${wanted}`,
      location,
      `write ${suggest(wanted, names) ?? "a limit"}; the limits are ${names.join(", ")}`,
    );
  return rules.map((rule) =>
    rule.drop.kind === "compare" && limitNamesOf(rule).includes(wanted)
      ? { ...rule, drop: { kind: "compare", left: { column: measure }, op, right: { value } } }
      : rule,
  );
}

/** The name of the limit of a rule that compares one measure with a number. */
export function limitNamesOf({ drop }: Rule): readonly string[] {
  if (drop.kind !== "compare" || !("column" in drop.left) || !("value" in drop.right)) return [];
  if (drop.op !== "<" && drop.op !== ">") return [];
  return [`${drop.left.column}_${drop.op === "<" ? "min" : "max"}`];
}

/** The first rule that drops a document; undefined if none does. */
export const firstRule = (rules: readonly Rule[], valueOf: (column: string) => Scalar): Rule | undefined =>
  rules.find(({ drop }) => holds(drop, valueOf));
