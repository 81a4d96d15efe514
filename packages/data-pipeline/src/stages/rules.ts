import type { Account } from "@lapidary/data-store";
import { asJson } from "@lapidary/std";
import { c4Text } from "@lapidary/text-filters";
import { z } from "zod";
import type { Columns } from "../rules/parse-expression.js";
import { holds } from "../rules/expression.js";
import { decides, limitsOf, type RuleLimit } from "../rules/limits.js";
import { parseRule, type RuleSet } from "../rules/rule.js";
import type { Value, ViewDocument } from "../view/view.js";
import { type Decision, editDocuments } from "./map-documents.js";
import type { Stage } from "./stage.js";

/** Name → a condition that drops a document, or `preset NAME`. */
const settings = z.record(z.string().regex(/^[\w-]+$/), z.string());
export type RulesSettings = z.infer<typeof settings>;

/** Columns that every document has without a measure. `bytes` are those of its text in UTF-8. */
export const documentColumns: Columns = new Map([
  ["source", "text"],
  ["file", "text"],
  ["name", "text"],
  ["bytes", "number"],
]);

/** @throws LapidaryError LAP_DATA_RULE */
export function ruleSetOf(rules: RulesSettings, columns: Columns, location = "rules"): RuleSet {
  const sets = Object.entries(rules).map(([name, text]) => parseRule(name, text, columns, `${location}.${name}`));
  return { rules: sets.flatMap((set) => set.rules), cutsLines: sets.some((set) => set.cutsLines) };
}

/** The value of a column of a document. */
export const columnValue = (document: ViewDocument, source: string, column: string): Value => {
  switch (column) {
    case "source":
      return source;
    case "file":
      return document.file;
    case "name":
      return document.name;
    case "bytes":
      return Buffer.byteLength(document.text);
    default:
      return document.values[column] ?? Number.NaN;
  }
};

/** Named conditions on measures. The first one that holds drops the document, and is its reason. */
export const rules: Stage<RulesSettings> = {
  settings,
  changes: true,
  columns: (settings, before) => {
    ruleSetOf(settings, before);
    return before;
  },
  config: (settings) => asJson(settings),
  steps: () => [
    {
      shape: "map",
      name: "rules",
      code: "2",
      writes: "edits",
      run: (view, settings) => {
        const set = ruleSetOf(settings, view.columns);
        const limits = limitsOf(set.rules);
        return editDocuments(view, (document, account) => decide(document, view.source, { set, limits, account }));
      },
    },
  ],
};

interface DecideContext {
  readonly set: RuleSet;
  readonly limits: readonly RuleLimit[];
  readonly account: Account;
}

function decide(document: ViewDocument, source: string, { set: { rules, cutsLines }, limits, account }: DecideContext): Decision {
  const values = new Map<string, Value>();
  const valueOf = (column: string): Value => {
    const value = values.get(column) ?? columnValue(document, source, column);
    values.set(column, value);
    return value;
  };
  const dropping = rules.filter(({ drop }) => holds(drop, valueOf));
  for (const limit of limits) {
    const value = decides(limit, dropping, valueOf);
    if (value !== undefined) account.observeLimit(limit.limit, value, dropping.length === 0);
  }
  const [rule] = dropping;
  if (rule !== undefined) return { drop: rule.reason };
  if (!cutsLines) return undefined;
  const text = c4Text(document.text);
  return text === document.text ? undefined : { text, reason: "c4 lines" };
}
