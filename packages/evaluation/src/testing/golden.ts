import { ok } from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The goldens of post-training: `evaluation.json` and extracts of two bundles, written by Python in float64 or torch in f32. */

type Verdict = "first" | "second" | "tie";

interface GoldenCounts {
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
}

interface GoldenRate extends GoldenCounts {
  readonly n: number;
  readonly rate: number;
  readonly normal95: readonly [number, number];
  readonly wilson95: readonly [number, number];
  readonly sign_test_p: number;
}

interface EvaluationGolden {
  readonly win_rate: readonly GoldenRate[];
  readonly side_by_side: {
    readonly verdicts: readonly (readonly [Verdict, Verdict])[];
    readonly expected: GoldenRate & { readonly contradictions: number; readonly first_share: number };
  };
  readonly ratings: {
    readonly players: readonly string[];
    readonly games: readonly (readonly [string, string, number])[];
    readonly bradley_terry: Readonly<Record<string, number>>;
    readonly elo: Readonly<Record<string, number>>;
    readonly elo_k: number;
    readonly start: number;
  };
  readonly pass_at_k: readonly { readonly n: number; readonly c: number; readonly k: number; readonly expected: number }[];
}

/** Tolerances that the goldens state. */
export const tolerance = { rates: 1e-12, signTestRelative: 1e-9, ratings: 1e-6, elo: 1e-9, tokenMeans: 5e-5 } as const;

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../golden/${name}`, import.meta.url), "utf8"));

export const evaluationGolden = (): EvaluationGolden => read("evaluation.json") as EvaluationGolden;

interface StoredArray {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

interface StoredRollout {
  readonly figures: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly rollout: Readonly<Record<string, StoredArray>>;
  readonly reward_model: Readonly<Record<string, StoredArray>>;
  readonly dpo: Readonly<Record<string, StoredArray>>;
  readonly ppo: Readonly<Record<string, StoredArray>>;
}

/** One bundle: arrays by group and name, and the figures of its manifest. */
export interface RolloutGolden {
  readonly rows: number;
  readonly width: number;
  array(group: "rollout" | "reward_model" | "dpo" | "ppo", name: string): Float32Array;
  /** A number of the manifest. */
  figure(group: string, name: string): number;
  readonly truncatedRows: readonly number[];
}

export const rolloutBundles = ["pod16x16", "mqa"] as const;

export function rolloutGolden(bundle: (typeof rolloutBundles)[number]): RolloutGolden {
  const stored = read(`rollout-${bundle}.json`) as StoredRollout;
  const found = (group: keyof StoredRollout, name: string): StoredArray => {
    const array = stored[group][name];
    if (array === undefined) throw new Error(`golden ${bundle} lacks ${group}.${name}`);
    return array as StoredArray;
  };
  const [rows = 0, width = 0] = found("rollout", "completion_mask").shape;
  return {
    rows,
    width,
    array: (group, name) => Float32Array.from(found(group, name).values),
    figure: (group, name) => {
      const value = stored.figures[group]?.[name];
      if (typeof value !== "number") throw new Error(`golden ${bundle} lacks the figure ${group}.${name}`);
      return value;
    },
    truncatedRows: stored.figures["rollout"]?.["truncated_rows"] as readonly number[],
  };
}

export function near(actual: number, expected: number, within: number, what = "value"): void {
  ok(Math.abs(actual - expected) <= within, `${what} is ${actual}, expected ${expected} within ${within}`);
}

export const isNear = (actual: number, expected: number, within: number): boolean => Math.abs(actual - expected) <= within;

export function nearRelative(actual: number, expected: number, within: number, what = "value"): void {
  ok(Math.abs(actual - expected) <= within * Math.abs(expected), `${what} is ${actual}, expected ${expected} within ${within} of it`);
}
