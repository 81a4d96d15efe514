import { floatOf } from "@lapidary/std";
import { Series, type SeriesJson } from "./downsample.js";
import type { TrainRow } from "./schemas.js";

/** The columns of a train row that every recipe has. */
const trainColumns = ["loss", "grad_norm", "learning_rate", "tokens_per_s", "step_ms"] as const;

/** Maximum number of columns for metrics of a recipe. A recipe of a user may have any number of metrics. */
export const maxMetricColumns = 96;

const prefix = "metrics.";
/** The column of a metric of a recipe. The prefix keeps it apart from the columns that every recipe has. */
export const metricColumn = (metric: string): string => `${prefix}${metric}`;

/** The series of the train rows of a run: one column for each number of a row. */
export const newTrainSeries = (capacity: number): Series => new Series(trainColumns, capacity, maxMetricColumns);

export const trainSeriesFrom = (json: SeriesJson, capacity: number): Series => Series.from(json, trainColumns, capacity, maxMetricColumns);

export function addTrainRow(series: Series, row: TrainRow): void {
  const more = Object.fromEntries(
    Object.entries(row.metrics ?? {}).map(([name, value]) => [metricColumn(name), floatOf(value) ?? Number.NaN]),
  );
  series.add(
    row.step,
    trainColumns.map((name) => row[name] ?? Number.NaN),
    more,
  );
}

/** The metrics of a recipe among the columns of a series, in the order of their first row. */
export const metricNames = (columns: readonly string[]): string[] =>
  columns.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
