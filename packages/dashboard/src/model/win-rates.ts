import type { ComparedSet, WinResult } from "@lapidary/api/comparison";

/** A row of the interval plot of a comparison. Positions are shares of the width of the plot, from 0 to 1. */
export interface WinRow {
  /** The subset; undefined: all prompts. */
  readonly subset?: string;
  readonly result: WinResult;
  readonly rate: number;
  readonly low: number;
  readonly high: number;
  /** What the interval says about candidate and baseline. */
  readonly verdict: "better" | "worse" | "undecided";
}

/** All prompts, then each subset by name. The interval is that of Wilson at 95 %. */
export function winRows({ result, result_by_subset }: Pick<ComparedSet, "result" | "result_by_subset">): WinRow[] {
  if (result === null) return [];
  const subsets = Object.entries(result_by_subset).sort(([a], [b]) => (a < b ? -1 : 1));
  return [winRow(result), ...subsets.map(([subset, each]) => ({ subset, ...winRow(each) }))];
}

function winRow(result: WinResult): Omit<WinRow, "subset"> {
  const { rate, wilson95 } = result;
  const [low, high] = [clamped(wilson95[0]), clamped(wilson95[1])];
  return { result, rate: clamped(rate), low, high, verdict: low > 0.5 ? "better" : high < 0.5 ? "worse" : "undecided" };
}

const clamped = (share: number): number => Math.min(1, Math.max(0, share));
