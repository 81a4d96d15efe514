import type { EvalRow } from "@lapidary/api";
import { type MetricGroup, metricGroups, type MetricKind, type MetricUnit, phaseMetrics } from "@lapidary/api/metric-info";
import { metricNames } from "@lapidary/api/train-series";
import { count, millis, number, percent } from "./format.js";
import { kinds } from "./palette.js";

/** The charts of a recipe's metrics by kind: those of train rows and those that only evaluations have. The times of phases have a chart of their own. */
export function chartGroups(columns: readonly string[], evals: readonly Pick<EvalRow, "metrics">[]): MetricGroup[] {
  const train = metricNames(columns);
  const names = new Set([...train, ...evals.flatMap(({ metrics = {} }) => Object.keys(metrics))]);
  for (const { metric } of phaseMetrics(train)) names.delete(metric);
  return metricGroups([...names]);
}

/** A metric at the steps of evaluations. */
export const heldoutPoints = (
  evals: readonly Pick<EvalRow, "step" | "metrics">[],
  metric: string,
): { readonly step: number; readonly value: number }[] =>
  evals.flatMap(({ step, metrics = {} }) => {
    const value = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined;
    return value === undefined ? [] : [{ step, value }];
  });

const formats: Readonly<Record<MetricUnit, (value: number) => string>> = {
  score: (value) => number(value, 3),
  nats: (value) => number(value, 3),
  share: (value) => percent(value),
  tokens: (value) => number(value, 3),
  "tokens/s": count,
  seconds: (value) => millis(value * 1000),
  milliseconds: millis,
  number: (value) => number(value),
};

/** A metric with its unit, unless the format has it: `0.12 nats`, `12 %`. */
export function metricText(value: number | null | undefined, unit: MetricUnit): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return number(value);
  const text = formats[unit](value);
  return unit === "nats" || unit === "tokens" ? `${text} ${unit}` : text;
}

/** The values at an axis, without the unit of the title. */
export const axisText = (value: number, unit: MetricUnit): string => formats[unit](value);

export const kindColours: Readonly<Record<MetricKind, string>> = {
  heldout: kinds.vermilion,
  reward: kinds.blue,
  kl: kinds.vermilion,
  completions: kinds.green,
  preference: kinds.blue,
  ratio: kinds.orange,
  value: kinds.pink,
  experts: kinds.green,
  time: kinds.sky,
  other: kinds.grey,
};
