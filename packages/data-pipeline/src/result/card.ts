import { type AccountCounts, type DroppedExample, type Histogram, type LimitCounts, type S3Access } from "@lapidary/data-store";
import { isPublished, type PublishedDataset, readPublished } from "@lapidary/mixture";
import { settingsAs } from "../file/pipeline-file.js";
import { limitsOf, type RuleLimit } from "../rules/limits.js";
import { runningProcess } from "../run/run-lock.js";
import { type RunTimes, readRunTimes } from "../run/run-times.js";
import { ruleSetOf } from "../stages/rules.js";
import type { SettingsOf, StageName } from "../stages/settings.js";
import type { Stage } from "../stages/stage.js";
import { stageTable } from "../stages/table.js";
import { openResult } from "./open-result.js";
import type { PlanFile } from "./plan-file.js";
import { readContamination } from "./publish-contamination.js";
import { type RecitationReport, readRecitations } from "./recitation-file.js";
import { type StageAccount, stageAccounts } from "./stage-accounts.js";

/** A limit of a rule on the histogram of its measure. */
export interface LimitCard extends Omit<RuleLimit, "rules" | "comparisons"> {
  /** The place of its stage in the card. */
  readonly stage: number;
  /** All documents that were measured. */
  readonly histogram: Histogram;
  /** The documents that no other rule drops: with another limit, those on its right side stay. */
  readonly decided: LimitCounts;
}

/** What a person reads of a dataset. It is JSON. */
export interface DatasetCard {
  readonly file: string;
  readonly out: string;
  readonly sources: Readonly<Record<string, SourceCard>>;
  readonly stages: readonly StageCard[];
  readonly limits: readonly LimitCard[];
  /** Histograms of all measures. */
  readonly measures: Readonly<Record<string, Histogram>>;
  readonly tokenizer: PublishedDataset["tokenizer"] | undefined;
  readonly isPublished: boolean;
  /** Whether a process runs the pipeline now. */
  readonly isRunning: boolean;
  /** Of the run that computed last. */
  readonly times: RunTimes | undefined;
  /** What the corpus had of evaluation sets, by the name of the set. */
  readonly contamination: Readonly<Record<string, ContaminationCard>>;
  /** What runs on the dataset recite of it, as `lapidary data memorise` measured it. */
  readonly recitation: readonly RecitationReport[];
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
  /** Shards, and those that are done. */
  readonly shards: number;
  readonly done: number;
  readonly in: number;
  readonly out: number;
  /** UTF-8 bytes of the texts that came in; undefined for the stage that reads. */
  readonly bytesIn: number | undefined;
  readonly bytes: number;
  readonly tokens: number | undefined;
  /** The largest share of its documents that the stage may drop. */
  readonly expect: number;
  readonly dropped: Readonly<Record<string, number>>;
  /** UTF-8 bytes of the dropped texts, by reason. */
  readonly lost: Readonly<Record<string, number>>;
  readonly cut: Readonly<Record<string, number>>;
  readonly bySource: Readonly<Record<string, StageOfSource>>;
  readonly examples: readonly DroppedExample[];
  /** The stage exists to remove or change documents, and changed none. */
  readonly changedNothing: boolean;
}

interface StageOfSource {
  readonly in: number;
  readonly out: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
}

interface ContaminationCard {
  readonly items: number;
  /** Documents that held an item. They are dropped. */
  readonly documents: number;
  /** Items that a document held, and those that the rule `own` cannot find. */
  readonly touched: number;
  readonly common: number;
  readonly bySource: Readonly<Record<string, number>>;
}

/** @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_ACCOUNT */
export async function datasetCard(out: string, s3?: S3Access): Promise<DatasetCard> {
  const { store, plan } = openResult(out, s3);
  const accounts = await stageAccounts(store, plan);
  const dataset = isPublished(out) ? readPublished(out) : undefined;
  return {
    file: plan.file,
    out,
    sources: sourceCards(plan, accounts),
    stages: accounts.map((account, at) => stageCard(account, accounts[at - 1])),
    limits: limitCards(plan, accounts),
    measures: histogramsOf(accounts),
    tokenizer: dataset?.tokenizer,
    isPublished: dataset !== undefined,
    isRunning: runningProcess(out) !== undefined,
    times: readRunTimes(out),
    contamination: contaminationCards(out),
    recitation: readRecitations(out),
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

function stageCard(account: StageAccount, before: StageAccount | undefined): StageCard {
  const { stage, counts, done, shards, bySource, expect } = account;
  return {
    stage,
    isComplete: done === shards,
    shards,
    done,
    in: counts.in,
    out: counts.out,
    bytesIn: before?.counts.bytes,
    bytes: counts.bytes,
    tokens: counts.tokens,
    expect,
    dropped: counts.dropped,
    lost: counts.lost ?? {},
    cut: counts.cut ?? {},
    bySource: Object.fromEntries(
      Object.entries(bySource).map(([name, each]) => [name, { in: each.in, out: each.out, bytes: each.bytes, dropped: each.dropped }]),
    ),
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

const histogramsOf = (accounts: readonly StageAccount[]): Readonly<Record<string, Histogram>> =>
  Object.assign({}, ...accounts.map(({ counts }) => counts.histograms ?? {})) as Readonly<Record<string, Histogram>>;

function limitCards(plan: PlanFile, accounts: readonly StageAccount[]): readonly LimitCard[] {
  const histograms = histogramsOf(accounts);
  return plan.stages.flatMap(({ stage, settings, columns }, at) => {
    if (stage !== "rules") return [];
    const { rules } = ruleSetOf(settingsAs("rules", settings), new Map(Object.entries(columns)));
    const counts = accounts[at]?.counts.limits ?? {};
    return limitsOf(rules).map(
      ({ rules: _, comparisons: __, ...limit }): LimitCard => ({
        ...limit,
        stage: at,
        histogram: histograms[limit.column] ?? {},
        decided: counts[limit.limit] ?? { values: {}, kept: 0 },
      }),
    );
  });
}

const contaminationCards = (out: string): DatasetCard["contamination"] =>
  Object.fromEntries(
    Object.entries(readContamination(out) ?? {}).map(([set, { items, documents, touched, common, by_source }]) => [
      set,
      { items, documents, touched: touched.length, common: common.length, bySource: by_source },
    ]),
  );
