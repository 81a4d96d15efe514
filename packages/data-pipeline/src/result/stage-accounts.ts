import { type AccountCounts, mergeAccounts, type OutputStore } from "@lapidary/data-store";
import { ensure, LapidaryError } from "@lapidary/std";
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
  const merged = plan.stages.map(({ stage }) => new MergedAccounts(stage));
  for (const shards of batches(plan.shards(), shardsOfRequest)) {
    const objects = await findObjects(
      store,
      shards.flatMap(({ accounts }) => accounts.map(({ key }) => key)),
    );
    let at = 0;
    for (const { source, name, accounts } of shards) {
      let delivered: number | undefined;
      for (const { stage } of accounts) {
        const counts = objects[at++]?.account;
        if (counts === undefined) continue;
        const account = ensure(merged[stage], `stage ${stage}`);
        if (delivered !== undefined && delivered !== counts.in) throw notDelivered(`${account.stage} ${name}`, delivered, counts.in);
        delivered = counts.out;
        account.add(source, counts);
      }
    }
  }
  return plan.stages.map(({ stage, expect, shards }, i) => ({ stage, expect, shards, ...ensure(merged[i], stage).result() }));
}

/** Accounts are merged some at a time, because all together grow with the corpus. */
const shardsOfRequest = 64;

function* batches<T>(values: Iterable<T>, size: number): Generator<readonly T[]> {
  let batch: T[] = [];
  for (const value of values) {
    batch.push(value);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

class MergedAccounts {
  readonly stage: string;
  readonly #bySource = new Map<string, AccountCounts>();
  #done = 0;

  constructor(stage: string) {
    this.stage = stage;
  }

  add(source: string, counts: AccountCounts): void {
    const before = this.#bySource.get(source);
    this.#bySource.set(source, mergeAccounts(before === undefined ? [counts] : [before, counts], `${this.stage} ${source}`));
    this.#done++;
  }

  result(): Pick<StageAccount, "done" | "counts" | "bySource"> {
    return {
      done: this.#done,
      counts: mergeAccounts([...this.#bySource.values()], this.stage),
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
