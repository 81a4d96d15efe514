import { type AccountCounts, mergeAccounts, type OutputStore } from "@lapidary/data-store";
import { LapidaryError } from "@lapidary/std";
import { findObjects } from "../view/open-view.js";
import type { PlanFile } from "./plan-file.js";

/** The account of one stage over all shards that are done. */
export interface StageAccount {
  readonly stage: PlanFile["stages"][number]["stage"];
  readonly expect: number;
  readonly shards: number;
  readonly done: number;
  readonly counts: AccountCounts;
  readonly bySource: Readonly<Record<string, AccountCounts>>;
}

/**
 * The accounts of all stages.
 *
 * @throws LapidaryError LAP_DATA_ACCOUNT if a sum does not meet, or if a stage received other documents than the one before delivered
 */
export async function stageAccounts(store: OutputStore, plan: PlanFile): Promise<readonly StageAccount[]> {
  const keys = plan.stages.flatMap(({ accounts }) => accounts.map(({ key }) => key));
  const objects = await findObjects(store, keys);
  const countsOf = new Map(keys.map((key, at) => [key, objects[at]?.account]));
  const delivered = new Map<string, number>();
  return plan.stages.map(({ stage, expect, accounts }) => {
    const found = accounts.flatMap(({ source, shard, key }) => {
      const counts = countsOf.get(key);
      if (counts === undefined) return [];
      const before = delivered.get(shard);
      if (before !== undefined && before !== counts.in) throw notDelivered(`${stage} ${shard}`, before, counts.in);
      delivered.set(shard, counts.out);
      return [{ source, counts }];
    });
    const sources = [...new Set(found.map(({ source }) => source))];
    const of = (source: string): AccountCounts =>
      mergeAccounts(
        found.filter((each) => each.source === source).map(({ counts }) => counts),
        `${stage} ${source}`,
      );
    return {
      stage,
      expect,
      shards: accounts.length,
      done: found.length,
      counts: mergeAccounts(
        found.map(({ counts }) => counts),
        stage,
      ),
      bySource: Object.fromEntries(sources.map((source) => [source, of(source)])),
    };
  });
}

const notDelivered = (location: string, before: number, received: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_DATA_ACCOUNT",
    message: `${received} documents came in, and the stage before delivered ${before}`,
    location,
  });

/** `3 of 10 documents (30 %): too short 2, empty 1` */
export function lossText({ in: all, out, dropped }: AccountCounts): string {
  const lost = all - out;
  const share = all === 0 ? 0 : Math.round((1000 * lost) / all) / 10;
  const reasons = Object.entries(dropped)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${count}`);
  return `${lost} of ${all} documents (${share} %)${reasons.length === 0 ? "" : `: ${reasons.join(", ")}`}`;
}
