import type { LimitCard } from "@lapidary/api/data-view";

/** How many documents stay with another limit. Both are equal if the limit is at the edge of a bin. */
export interface LimitEffect {
  readonly least: number;
  readonly most: number;
}

interface Bin {
  /** The least value, and the least value of the next bin. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

const binsOfOne = 50;
const binsOfDecade = 16;

/** The place of a value on an axis on which all bins have the width 1: linear below 1, logarithmic above. */
export function placeOf(value: number): number {
  if (value < 0) return -placeOf(-value);
  return value < 1 ? value * binsOfOne : binsOfOne + Math.log10(value) * binsOfDecade;
}

/** The value at a whole place: the least value of a bin, as histograms print it. */
export function valueAt(place: number): number {
  if (place < 0) return -valueAt(-place);
  return place < binsOfOne ? place / binsOfOne : Number((10 ** ((place - binsOfOne) / binsOfDecade)).toPrecision(4));
}

/** The bins of a histogram in order, without the count of missing values. A negative bin is named by its edge that is nearer to 0. */
export function binsOf(histogram: Readonly<Record<string, number>>): readonly Bin[] {
  return Object.entries(histogram)
    .filter(([name]) => name !== "none" && Number.isFinite(Number(name)))
    .map(([name, count]) => {
      const edge = Number(name);
      const place = Math.round(placeOf(edge));
      return name.startsWith("-") ? { from: valueAt(place - 1), to: edge, count } : { from: edge, to: valueAt(place + 1), count };
    })
    .sort((a, b) => a.from - b.from);
}

/** The whole places from the first bin to the last of histograms. */
export function placesOf(
  histograms: readonly Readonly<Record<string, number>>[],
  value: number,
): { readonly from: number; readonly to: number } {
  const bins = histograms.flatMap(binsOf);
  const at = Math.round(placeOf(value));
  const from = Math.min(at, ...bins.map((bin) => Math.round(placeOf(bin.from))));
  const to = Math.max(at, ...bins.map((bin) => Math.round(placeOf(bin.to))));
  return { from, to: Math.max(to, from + 1) };
}

/**
 * How many documents the stage would keep with the limit `value`, if `out` stay now. The limit decides on the documents that no other rule drops. A bin
 * that contains the limit has documents on both sides, so its documents count in `most` alone.
 */
export function limitEffect({ drops, dropsEqual, decided }: LimitCard, value: number, out: number): LimitEffect {
  let [least, most] = [out - decided.kept, out - decided.kept];
  for (const { from, to, count } of binsOf(decided.values)) {
    const isAbove = from > value || (from === value && (drops === "below" ? !dropsEqual : dropsEqual));
    const isBelow = to <= value;
    const certain = drops === "below" ? isAbove : isBelow;
    const impossible = drops === "below" ? isBelow : isAbove;
    if (certain) [least, most] = [least + count, most + count];
    else if (!impossible) most += count;
  }
  return { least, most };
}

/** Whether a value is on the side of the limit that stays. */
export const isKept = ({ drops, dropsEqual }: Pick<LimitCard, "drops" | "dropsEqual">, value: number, limit: number): boolean =>
  value === limit ? !dropsEqual : drops === "below" ? value > limit : value < limit;

/** The change for `whatif`. */
export const changeOf = ({ change }: Pick<LimitCard, "change">, value: number): string => change.replace("{}", String(value));
