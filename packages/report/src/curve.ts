import { ensure } from "@lapidary/std";

export interface CurveOptions {
  /** Columns of the plot itself, without its labels. */
  readonly width: number;
  /** Lines. */
  readonly height: number;
}

/** A point of the curve. */
export interface CurvePoint {
  readonly step: number;
  readonly value: number;
}

/**
 * A curve in characters, two by four dots each (braille), with its scale at the left and its steps below:
 *
 *     6.24 ┤⢇
 *          │⠈⠢⣀
 *     3.10 ┤    ⠉⠒⠤⠤⣀⣀
 *          └──────────────
 *           1           200
 *
 * Steps that share a column are averaged, so that a curve of any length keeps its shape.
 */
export function drawCurve(points: readonly CurvePoint[], { width, height }: CurveOptions): string {
  const shown = points.filter(({ value }) => Number.isFinite(value));
  const first = shown[0];
  const last = shown.at(-1);
  if (first === undefined || last === undefined) return "(no values to draw)";
  const columns = averages(shown, first.step, last.step, width * 2);
  const values = columns.filter((value) => value !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const rows = height * 4;
  const rowOf = (value: number): number => (high === low ? rows - 1 : Math.round(((high - value) / (high - low)) * (rows - 1)));
  const dots = Array.from({ length: height }, () => new Uint8Array(width));
  let before: number | undefined;
  columns.forEach((value, x) => {
    if (value === undefined) return;
    const to = rowOf(value);
    // Starts at the previous point, so that the curve has no gaps.
    const from = before === undefined ? to : before + Math.sign(to - before);
    for (let y = Math.min(from, to); y <= Math.max(from, to); y++) setDot(dots, x, y);
    before = to;
  });
  return [...plot(dots, high, low), axis(first.step, last.step, width, labelWidth(high, low))].join("\n");
}

/** The mean of each column, interpolated between columns with points. */
function averages(points: readonly CurvePoint[], from: number, to: number, columns: number): (number | undefined)[] {
  const sums = new Float64Array(columns);
  const counts = new Uint32Array(columns);
  for (const { step, value } of points) {
    const x = to === from ? 0 : Math.round(((step - from) / (to - from)) * (columns - 1));
    sums[x] = (sums[x] ?? 0) + value;
    counts[x] = (counts[x] ?? 0) + 1;
  }
  return interpolated(Array.from(counts, (count, x) => (count === 0 ? undefined : (sums[x] ?? 0) / count)));
}

/** Fills the columns between two known ones along a straight line. */
function interpolated(values: readonly (number | undefined)[]): (number | undefined)[] {
  const known = values.flatMap((value, x) => (value === undefined ? [] : [x]));
  return values.map((value, x) => {
    if (value !== undefined) return value;
    const left = known.findLast((other) => other < x);
    const right = known.find((other) => other > x);
    if (left === undefined || right === undefined) return undefined;
    const [a, b] = [ensure(values[left], "left value"), ensure(values[right], "right value")];
    return a + ((b - a) * (x - left)) / (right - left);
  });
}

/** Bits of the eight dots of a braille character, by column and row (Unicode, block Braille Patterns). */
const brailleBits = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

function setDot(dots: readonly Uint8Array[], x: number, y: number): void {
  const line = ensure(dots[Math.floor(y / 4)], "line of the plot");
  const bit = ensure(brailleBits[x % 2]?.[y % 4], "dot");
  line[x >> 1] = (line[x >> 1] ?? 0) | bit;
}

const label = (value: number): string => value.toFixed(Math.abs(value) < 100 ? 2 : 0);
const labelWidth = (high: number, low: number): number => Math.max(label(high).length, label(low).length);

function plot(dots: readonly Uint8Array[], high: number, low: number): string[] {
  const margin = labelWidth(high, low);
  return dots.map((line, i) => {
    const text = i === 0 ? label(high) : i === dots.length - 1 ? label(low) : "";
    const characters = Array.from(line, (bits) => (bits === 0 ? " " : String.fromCharCode(0x2800 + bits))).join("");
    return `${text.padStart(margin)} ${text === "" ? "│" : "┤"}${characters.trimEnd()}`;
  });
}

function axis(from: number, to: number, width: number, margin: number): string {
  const steps = from === to ? `step ${from}` : `step ${from}${String(to).padStart(Math.max(1, width - `step ${from}`.length))}`;
  return `${" ".repeat(margin)} └${"─".repeat(width)}\n${" ".repeat(margin + 2)}${steps}`;
}
