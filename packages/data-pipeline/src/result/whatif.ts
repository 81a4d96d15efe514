import type { S3Access } from "@lapidary/data-store";
import { LapidaryError } from "@lapidary/std";
import { settingsAs } from "../file/pipeline-file.js";
import { firstRule, type LimitChange, limitChangeOf, limitNamesOf, type Rule, withLimit } from "../rules/rule.js";
import { ruleError } from "../rules/rule-error.js";
import { columnValue, ruleSetOf } from "../stages/rules.js";
import { findObjects, openView } from "../view/open-view.js";
import { openResult } from "./open-result.js";
import type { PlanFile, PlannedShard } from "./plan-file.js";

/** What a changed rule does to the documents of a pipeline. */
export interface RuleEffect {
  readonly change: string;
  readonly in: number;
  readonly kept: { readonly before: number; readonly after: number };
  readonly dropped: { readonly before: Readonly<Record<string, number>>; readonly after: Readonly<Record<string, number>> };
  readonly bySource: Readonly<Record<string, { readonly before: number; readonly after: number }>>;
  /** Ids of all documents that only the changed rules keep, and of those that only the rules of the pipeline keep. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
}

/**
 * Who would stay if one rule were changed. Reads the stored measures, and computes none. The result is exact for the stage `rules`; the
 * stages after it are not run.
 *
 * @param change `gopher.words_min = 40`, or `NAME = CONDITION` for a changed or a new rule
 * @throws LapidaryError LAP_DATA_RULE, LAP_DATA_NO_RESULT, LAP_DATA_STORE
 */
export async function whatIf(out: string, change: string, s3?: S3Access): Promise<RuleEffect> {
  const { store, plan } = openResult(out, s3);
  const { stage, before, after } = changedRules(plan, change);
  const index = plan.stages.indexOf(stage);
  for (const { shard, view } of viewsBefore(plan, index)) {
    const objects = await findObjects(store, [view.documents ?? "", ...view.columns, ...view.edits]);
    if (objects.includes(undefined))
      throw new LapidaryError({
        code: "LAP_DATA_NO_RESULT",
        message: `the stages before the rules are not complete: ${shard} lacks an output`,
        location: out,
        remedy: "run the pipeline with `lapidary data run`",
      });
  }
  const counts = { in: 0, before: new Tally(), after: new Tally() };
  const sources = new Map<string, { before: number; after: number }>();
  const [gained, lost]: [string[], string[]] = [[], []];
  for (const { source, shard, view } of viewsBefore(plan, index)) {
    const columns = new Map(Object.entries(stage.columns));
    const keys = { documents: view.documents, edits: view.edits, columns: view.columns };
    const documents = openView(store, { shard: { source, name: shard, files: [] }, keys, columns, setAside: new Set() }).documents();
    const kept = sources.get(source) ?? { before: 0, after: 0 };
    sources.set(source, kept);
    for await (const document of documents) {
      counts.in++;
      const reasonOf = (rules: readonly Rule[]): string | undefined =>
        firstRule(rules, (column) => columnValue(document, source, column))?.reason;
      const [was, is] = [reasonOf(before), reasonOf(after)];
      counts.before.add(was);
      counts.after.add(is);
      kept.before += Number(was === undefined);
      kept.after += Number(is === undefined);
      if (was !== undefined && is === undefined) gained.push(document.id);
      if (was === undefined && is !== undefined) lost.push(document.id);
    }
  }
  return {
    change,
    in: counts.in,
    kept: { before: counts.in - counts.before.total, after: counts.in - counts.after.total },
    dropped: { before: counts.before.byReason(), after: counts.after.byReason() },
    bySource: Object.fromEntries(sources),
    gained,
    lost,
  };
}

/** The views of all shards before a stage. */
function* viewsBefore(
  plan: PlanFile,
  stage: number,
): Generator<{ readonly source: string; readonly shard: string; readonly view: PlannedShard["view"] }> {
  for (const { source, name, accounts } of plan.shards()) {
    const account = accounts.find((each) => each.stage === stage);
    if (account !== undefined) yield { source, shard: name, view: account.view };
  }
}

/** Documents by the reason that drops them. */
class Tally {
  readonly #counts = new Map<string, number>();
  total = 0;

  add(reason: string | undefined): void {
    if (reason === undefined) return;
    this.total++;
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  byReason(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

interface ChangedRules {
  readonly stage: PlanFile["stages"][number];
  readonly before: readonly Rule[];
  readonly after: readonly Rule[];
}

function changedRules(plan: PlanFile, change: string): ChangedRules {
  const stages = plan.stages.filter(({ stage }) => stage === "rules");
  if (stages.length === 0)
    throw new LapidaryError({
      code: "LAP_DATA_RULE",
      message: "the pipeline has no stage rules",
      location: plan.file,
      remedy: "add the stage rules",
    });
  const rulesOf = (stage: PlanFile["stages"][number]): readonly Rule[] =>
    ruleSetOf(settingsAs("rules", stage.settings), new Map(Object.entries(stage.columns))).rules;
  const limit = limitChangeOf(change);
  if (limit !== undefined) return limitChanged(stages, rulesOf, limit);
  const [, name, condition] = /^\s*([\w-]+)\s*[=:]\s*(.+)$/s.exec(change) ?? [];
  if (name === undefined || condition === undefined)
    throw ruleError(
      `${JSON.stringify(change)} is not a change of a rule`,
      "RULE",
      "write a limit such as `gopher.words_min = 40`, or `NAME = CONDITION`",
    );
  const stage = stages.find(({ settings }) => name in settingsAs("rules", settings)) ?? stages.at(-1);
  if (stage === undefined) throw ruleError("the pipeline has no stage rules", "RULE", "add the stage rules");
  const settings = { ...settingsAs("rules", stage.settings), [name]: condition };
  const { rules } = ruleSetOf(settings, new Map(Object.entries(stage.columns)));
  return { stage, before: rulesOf(stage), after: rules };
}

function limitChanged(
  stages: PlanFile["stages"],
  rulesOf: (stage: PlanFile["stages"][number]) => readonly Rule[],
  limit: LimitChange,
): ChangedRules {
  const wanted = `${limit.measure}_${limit.side}`;
  const stage = stages.find((each) => rulesOf(each).some((rule) => limitNamesOf(rule).includes(wanted)));
  if (stage === undefined) {
    const all = stages.flatMap(rulesOf);
    withLimit(all, limit, "RULE");
    throw ruleError(`no rule has a limit ${wanted}`, "RULE", "name a limit of the pipeline");
  }
  const before = rulesOf(stage);
  return { stage, before, after: withLimit(before, limit, "RULE") };
}
