import { assert } from "@lapidary/std";
import { emptyEvaluation } from "../evaluation-errors.js";
import { signTest } from "./sign-test.js";

/** The result of one prompt for the candidate. */
export type Outcome = "win" | "tie" | "loss";

export interface OutcomeCounts {
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
}

type Interval = readonly [low: number, high: number];

export interface WinRate extends OutcomeCounts {
  /** wins + ties + losses */
  readonly n: number;
  /** (wins + ties / 2) / n */
  readonly rate: number;
  /** 95 % interval by the normal approximation, with the variance of the scores 0, ½ and 1. Its width is 0 if all outcomes are equal. */
  readonly normal95: Interval;
  /** 95 % interval of Wilson for `rate` over `n` trials. It is wider if there are ties, because it uses the variance rate·(1 − rate). */
  readonly wilson95: Interval;
  /** Two-sided p-value of wins against losses, see `signTest`. */
  readonly signTestP: number;
}

/** The 0.975 quantile of the standard normal distribution. */
const z = 1.959963984540054;

/** @throws LapidaryError LAP_EVALUATION_EMPTY if all counts are 0 */
export function winRate({ wins, ties, losses }: OutcomeCounts): WinRate {
  for (const count of [wins, ties, losses])
    assert(Number.isSafeInteger(count) && count >= 0, "an outcome count is an integer from 0", count);
  const n = wins + ties + losses;
  if (n === 0) throw emptyEvaluation("verdicts");
  const rate = (wins + ties / 2) / n;
  const variance = Math.max(0, (wins + ties / 4) / n - rate * rate);
  const half = z * Math.sqrt(variance / n);
  return {
    wins,
    ties,
    losses,
    n,
    rate,
    normal95: [rate - half, rate + half],
    wilson95: wilson95(rate, n),
    signTestP: signTest(wins, losses),
  };
}

/** The interval of all q with |rate − q| ≤ z √(q (1 − q) / n). Wilson, "Probable inference" (1927). */
function wilson95(rate: number, n: number): Interval {
  const shrink = 1 + (z * z) / n;
  const centre = (rate + (z * z) / (2 * n)) / shrink;
  const half = (z / shrink) * Math.sqrt((rate * (1 - rate)) / n + (z * z) / (4 * n * n));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

export function countOutcomes(outcomes: Iterable<Outcome>): OutcomeCounts {
  const counts = { win: 0, tie: 0, loss: 0 };
  for (const outcome of outcomes) counts[outcome]++;
  return { wins: counts.win, ties: counts.tie, losses: counts.loss };
}

/** The outcome of two scores of the same checker or reward. A score that is not a number loses against any number. */
export function outcomeOfScores(candidate: number, baseline: number): Outcome {
  if (candidate === baseline || (Number.isNaN(candidate) && Number.isNaN(baseline))) return "tie";
  return candidate > baseline || Number.isNaN(baseline) ? "win" : "loss";
}

/** A value of all rows and of the rows of each subset. A row without a subset counts in `all` only. */
export interface BySubset<T> {
  readonly all: T;
  /** Sorted by the code units of the subset names. */
  readonly subsets: ReadonlyMap<string, T>;
}

/** Applies `evaluate` to all rows and to the rows of each subset. */
export function bySubset<Row extends { readonly subset?: string | undefined }, T>(
  rows: readonly Row[],
  evaluate: (rows: readonly Row[]) => T,
): BySubset<T> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.subset === undefined) continue;
    const group = groups.get(row.subset);
    if (group === undefined) groups.set(row.subset, [row]);
    else group.push(row);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return { all: evaluate(rows), subsets: new Map(sorted.map(([name, group]) => [name, evaluate(group)])) };
}

/** @throws LapidaryError LAP_EVALUATION_EMPTY if there are no rows */
export function winRateBySubset(rows: readonly { readonly outcome: Outcome; readonly subset?: string | undefined }[]): BySubset<WinRate> {
  return bySubset(rows, (some) => winRate(countOutcomes(some.map(({ outcome }) => outcome))));
}
