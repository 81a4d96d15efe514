import type { SeriesJson } from "@lapidary/api/downsample";
import { phaseMetrics } from "@lapidary/api/metric-info";
import { metricColumn, metricNames } from "@lapidary/api/train-series";
import { kinds } from "./palette.js";

/** How the time of steps divides among phases. */
export interface StepSplit {
  readonly phases: readonly string[];
  /** Oldest first. Neighbouring steps share a bar if there are too many. */
  readonly bars: readonly SplitBar[];
  readonly longest_ms: number;
}

interface SplitBar {
  readonly from: number;
  readonly to: number;
  /** Mean milliseconds of each phase. */
  readonly ms: readonly number[];
  readonly total_ms: number;
}

type Columns = Pick<SeriesJson, "step"> & { readonly names: readonly string[]; readonly last: (column: string) => readonly number[] };

/** @param most maximum number of bars */
export function stepSplit({ step, names, last }: Columns, most: number, span?: { readonly from: number; readonly to: number }): StepSplit {
  const phases = phaseMetrics(metricNames(names));
  const columns = phases.map(({ metric, unit_ms }) => last(metricColumn(metric)).map((value) => value * unit_ms));
  const known = step
    .map((_, i) => i)
    .filter((i) => columns.some((column) => Number.isFinite(column[i])))
    .filter((i) => span === undefined || ((step[i] ?? 0) >= span.from && (step[i] ?? 0) <= span.to));
  const perBar = Math.max(1, Math.ceil(known.length / Math.max(1, most)));
  const bars = Array.from({ length: Math.ceil(known.length / perBar) }, (_, bar): SplitBar => {
    const steps = known.slice(bar * perBar, (bar + 1) * perBar);
    const ms = columns.map((column) => mean(steps.map((i) => column[i] ?? Number.NaN)));
    return { from: step[steps[0] ?? 0] ?? 0, to: step[steps.at(-1) ?? 0] ?? 0, ms, total_ms: ms.reduce((sum, each) => sum + each, 0) };
  });
  return {
    phases: phases.map(({ phase }) => phase),
    bars,
    longest_ms: bars.reduce((most_ms, { total_ms }) => Math.max(most_ms, total_ms), 0),
  };
}

/** The mean time and share of each phase over all bars. */
export function phaseShares({ phases, bars }: StepSplit): { readonly phase: string; readonly ms: number; readonly share: number }[] {
  const ms = phases.map((_, p) => mean(bars.map((bar) => bar.ms[p] ?? 0)));
  const total = ms.reduce((sum, each) => sum + each, 0);
  return phases.map((phase, p) => ({ phase, ms: ms[p] ?? 0, share: total === 0 ? 0 : (ms[p] ?? 0) / total }));
}

/** Of the finite values; 0 without any. */
function mean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.length === 0 ? 0 : finite.reduce((sum, value) => sum + value, 0) / finite.length;
}

const colours = [kinds.sky, kinds.blue, kinds.orange, kinds.green, kinds.vermilion, kinds.pink, kinds.yellow, kinds.grey];
export const phaseColour = (index: number): string => colours[index % colours.length] ?? kinds.grey;
