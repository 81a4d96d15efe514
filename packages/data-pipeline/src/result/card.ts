import { type AccountCounts, type DroppedExample, type Histogram, type S3Access } from "@lapidary/data-store";
import { isPublished, type PublishedDataset, readPublished } from "@lapidary/mixture";
import { settingsAs } from "../file/pipeline-file.js";
import { limitNamesOf } from "../rules/rule.js";
import { ruleSetOf } from "../stages/rules.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { openResult } from "./open-result.js";
import type { PlanFile } from "./plan-file.js";
import { type StageAccount, stageAccounts } from "./stage-accounts.js";

/** A limit of a rule on the histogram of its measure. */
export interface LimitCard {
  readonly limit: string;
  readonly value: number;
  readonly histogram: Histogram;
}

/** What a person reads of a dataset. It is JSON. */
export interface DatasetCard {
  readonly file: string;
  readonly sources: Readonly<Record<string, SourceCard>>;
  readonly stages: readonly StageCard[];
  readonly limits: readonly LimitCard[];
  readonly tokenizer: PublishedDataset["tokenizer"] | undefined;
  readonly isPublished: boolean;
}

interface SourceCard {
  readonly licence: string;
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  /** Of all tokens; of all bytes if the pipeline does not tokenize. */
  readonly share: number;
  readonly damagedFiles: readonly { readonly file: string; readonly reason: string }[];
}

export interface StageCard {
  readonly stage: string;
  readonly isComplete: boolean;
  readonly in: number;
  readonly out: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly cut: Readonly<Record<string, number>>;
  readonly bySource: Readonly<Record<string, { readonly in: number; readonly out: number }>>;
  readonly examples: readonly DroppedExample[];
  /** The stage exists to remove or change documents, and changed none. */
  readonly changedNothing: boolean;
}

/** @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_ACCOUNT */
export async function datasetCard(out: string, s3?: S3Access): Promise<DatasetCard> {
  const { store, plan } = openResult(out, s3);
  const accounts = await stageAccounts(store, plan);
  const dataset = isPublished(out) ? readPublished(out) : undefined;
  return {
    file: plan.file,
    sources: sourceCards(plan, accounts),
    stages: accounts.map(stageCard),
    limits: limitCards(plan, accounts),
    tokenizer: dataset?.tokenizer,
    isPublished: dataset !== undefined,
  };
}

/** The stages that changed nothing although they exist to remove or change documents. */
export const idleStages = (accounts: readonly StageAccount[]): readonly string[] => accounts.filter(isIdle).map(({ stage }) => stage);

const isIdle = ({ stage, counts, done, shards }: StageAccount): boolean =>
  done === shards && counts.in > 0 && changes(stage) && counts.in === counts.out && Object.keys(counts.cut ?? {}).length === 0;

const changes = <Name extends StageName>(name: Name): boolean => {
  const stage: Stage<SettingsOf[Name]> = stageTable[name];
  return stage.changes;
};

function stageCard(account: StageAccount): StageCard {
  const { stage, counts, done, shards, bySource } = account;
  return {
    stage,
    isComplete: done === shards,
    in: counts.in,
    out: counts.out,
    bytes: counts.bytes,
    dropped: counts.dropped,
    cut: counts.cut ?? {},
    bySource: Object.fromEntries(Object.entries(bySource).map(([name, each]) => [name, { in: each.in, out: each.out }])),
    examples: counts.examples ?? [],
    changedNothing: isIdle(account),
  };
}

/** The amounts of a source after the last stage that all its shards passed. */
function sourceCards(plan: PlanFile, accounts: readonly StageAccount[]): Readonly<Record<string, SourceCard>> {
  const last = accounts.filter(({ done, shards }) => shards > 0 && done === shards);
  const finalOf = (name: string): AccountCounts | undefined =>
    last.findLast(({ bySource }) => bySource[name] !== undefined)?.bySource[name];
  const names = Object.keys(plan.sources);
  const hasTokens = names.some((name) => finalOf(name)?.tokens !== undefined);
  const amount = (name: string): number => (hasTokens ? finalOf(name)?.tokens : finalOf(name)?.bytes) ?? 0;
  const total = names.reduce((sum, name) => sum + amount(name), 0);
  return Object.fromEntries(
    Object.entries(plan.sources).map(([name, { licence }]) => {
      const { out = 0, bytes = 0, tokens = 0 } = finalOf(name) ?? {};
      const damagedFiles = accounts[0]?.bySource[name]?.errors ?? [];
      return [name, { licence, documents: out, bytes, tokens, share: total === 0 ? 0 : amount(name) / total, damagedFiles }];
    }),
  );
}

function limitCards(plan: PlanFile, accounts: readonly StageAccount[]): readonly LimitCard[] {
  const histograms = Object.assign({}, ...accounts.map(({ counts }) => counts.histograms ?? {})) as Readonly<Record<string, Histogram>>;
  return plan.stages.flatMap(({ stage, settings, columns }) => {
    if (stage !== "rules") return [];
    const { rules } = ruleSetOf(settingsAs("rules", settings), new Map(Object.entries(columns)));
    return rules.flatMap((rule) => {
      const [limit] = limitNamesOf(rule);
      const { drop } = rule;
      if (limit === undefined || drop.kind !== "compare" || !("column" in drop.left) || !("value" in drop.right)) return [];
      const histogram = histograms[drop.left.column];
      return histogram === undefined ? [] : [{ limit, value: Number(drop.right.value), histogram }];
    });
  });
}
