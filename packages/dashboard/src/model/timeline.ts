import type { ProgramView, ViewValue } from "@lapidary/api/program-view";
import type { Span } from "./route.js";

/** The bar of an op that takes time. */
export interface Bar {
  readonly value: ViewValue;
  readonly from: number;
  readonly to: number;
}

export interface Lane {
  readonly name: string;
  /** Whether the lane continues the lane above it, because the bars of both would overlap in one lane. */
  readonly continued?: boolean;
  /** By time; bars of one lane do not overlap. */
  readonly bars: readonly Bar[];
}

export interface TimelineModel {
  readonly lanes: readonly Lane[];
  readonly total_us: number;
}

/** The fields of a program that its timeline needs. */
type TimedProgram = Pick<ProgramView, "values"> & { readonly timeline: Pick<ProgramView["timeline"], "lanes" | "total_us"> };

export function timelineModel(view: TimedProgram): TimelineModel {
  const lanes = new Map<string, Bar[]>(view.timeline.lanes.map((name) => [name, []]));
  for (const value of view.values) {
    const { lane, start_us, duration_us } = value;
    if (lane === undefined || start_us === undefined || duration_us === undefined) continue;
    const bars = lanes.get(lane) ?? [];
    bars.push({ value, from: start_us, to: start_us + duration_us });
    lanes.set(lane, bars);
  }
  return {
    lanes: [...lanes].flatMap(([name, bars]) => withoutOverlap(name, bars, name === "compute" ? 1 : maxRows)),
    total_us: view.timeline.total_us,
  };
}

/** Draws concurrent transfers over one axis in several rows. */
function withoutOverlap(name: string, bars: readonly Bar[], limit: number): Lane[] {
  const rows: Bar[][] = [[]];
  for (const bar of [...bars].sort((a, b) => a.from - b.from || a.to - b.to)) {
    const free = rows.find((row) => (row.at(-1)?.to ?? 0) <= bar.from + rounding_us);
    if (free !== undefined) free.push(bar);
    else if (rows.length < limit) rows.push([bar]);
    else rows.at(-1)?.push(bar);
  }
  return rows.map((row, i) => ({ name, bars: row, ...(i === 0 ? {} : { continued: true }) }));
}

const maxRows = 3;
/** Times are rounded to a nanosecond. */
const rounding_us = 0.002;

/** The bar at a time, or the nearest within `slack` of it. */
export function barAt({ bars }: Lane, us: number, slack: number): Bar | undefined {
  let [low, high] = [0, bars.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bars[middle]?.from ?? 0) <= us) low = middle + 1;
    else high = middle;
  }
  const near = [bars[low - 1], bars[low]]
    .filter((bar): bar is Bar => bar !== undefined)
    .map((bar) => ({ bar, distance: us < bar.from ? bar.from - us : Math.max(0, us - bar.to) }));
  const best = near.sort((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= slack ? best.bar : undefined;
}

/** The bar before or after one in its lane. */
export function neighbour(lane: Lane, id: number, by: 1 | -1): Bar | undefined {
  const at = lane.bars.findIndex(({ value }) => value.id === id);
  return at < 0 ? lane.bars[by > 0 ? 0 : lane.bars.length - 1] : lane.bars[at + by];
}

/** A span scaled around a fixed point; never wider than the step or narrower than a nanosecond. */
export function zoomed(span: Span, around: number, factor: number, total: number): Span {
  const width = Math.min(total, Math.max(0.001, (span.to - span.from) * factor));
  const share = (around - span.from) / (span.to - span.from);
  return clampSpan({ from: around - share * width, to: around + (1 - share) * width }, total);
}

/** The span moved into the range 0 to total. */
export function clampSpan({ from, to }: Span, total: number): Span {
  const width = Math.min(to - from, total);
  const start = Math.min(Math.max(0, from), total - width);
  return { from: start, to: start + width };
}

/** Round positions for marks on an axis, at most `limit` of them. */
export function ticks({ from, to }: Span, limit: number): number[] {
  const rough = (to - from) / Math.max(1, limit);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough) ?? rough;
  const first = Math.ceil(from / step - 1e-9) * step;
  const places: number[] = [];
  for (let i = 0; first + i * step <= to + step * 1e-9 && i <= limit + 1; i++) places.push(Number((first + i * step).toPrecision(12)));
  return places;
}
