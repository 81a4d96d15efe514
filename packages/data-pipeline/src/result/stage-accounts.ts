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
  const delivered = new Map<string, number>();
  const stages: StageAccount[] = [];
  for (const { stage, expect, accounts } of plan.stages) {
    const merged = new MergedAccounts(stage);
    for (let at = 0; at < accounts.length; at += accountsOfRequest) {
      const some = accounts.slice(at, at + accountsOfRequest);
      const objects = await findObjects(
        store,
        some.map(({ key }) => key),
      );
      for (const [i, { source, shard }] of some.entries()) {
        const counts = objects[i]?.account;
        if (counts === undefined) continue;
        const before = delivered.get(shard);
        if (before !== undefined && before !== counts.in) throw notDelivered(`${stage} ${shard}`, before, counts.in);
        delivered.set(shard, counts.out);
        merged.add(source, counts);
      }
    }
    stages.push({ stage, expect, shards: accounts.length, ...merged.result() });
  }
  return stages;
}

/** Accounts are merged some at a time, because all together grow with the corpus. */
const accountsOfRequest = 256;

class MergedAccounts {
  readonly #stage: string;
  readonly #bySource = new Map<string, AccountCounts>();
  #done = 0;

  constructor(stage: string) {
    this.#stage = stage;
  }

  add(source: string, counts: AccountCounts): void {
    const before = this.#bySource.get(source);
    this.#bySource.set(source, mergeAccounts(before === undefined ? [counts] : [before, counts], `${this.#stage} ${source}`));
    this.#done++;
  }

  result(): Pick<StageAccount, "done" | "counts" | "bySource"> {
    return {
      done: this.#done,
      counts: mergeAccounts([...this.#bySource.values()], this.#stage),
      bySource: Object.fromEntries(this.#bySource),
    };
  }
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
