import { foregroundOn } from "../model/palette.js";
import type { Span } from "../model/route.js";
import { fitText, type ForegroundColors } from "./canvas.js";

/** The geometry of lanes of bars on a canvas: names on the left, then a plot of the part `span` of a step. In pixels, `span` in microseconds. */
export interface LaneFrame {
  readonly left: number;
  readonly plot: number;
  readonly span: Span;
  readonly colors: ForegroundColors;
}

export interface LaneBar {
  readonly from: number;
  readonly to: number;
}

/** The appearance of a bar. */
export interface BarAppearance {
  readonly name: string;
  readonly colour: string;
  /** Whether the bar is pale, with its name in the text color. */
  readonly faint?: boolean;
  /** The start of the bar, `us` microseconds, has another colour. */
  readonly head?: { readonly us: number; readonly colour: string };
}

/** Narrower bars show no name. */
const minNamedWidth = 36;

export const xOf = ({ left, plot, span }: LaneFrame, us: number): number => left + ((us - span.from) / (span.to - span.from)) * plot;

/** The ends of a bar on the canvas, clipped to the plot; undefined if it is outside. */
function ends(frame: LaneFrame, { from, to }: LaneBar): readonly [number, number] | undefined {
  if (to < frame.span.from || from > frame.span.to) return undefined;
  return [Math.max(frame.left, xOf(frame, from)), Math.min(frame.left + frame.plot, xOf(frame, to))];
}

/** Draws the name, the base line and the bars of a lane. The bars are sorted by their start. */
export function drawLane<B extends LaneBar>(
  c: CanvasRenderingContext2D,
  frame: LaneFrame,
  { name, bars, y, height }: { readonly name: string; readonly bars: readonly B[]; readonly y: number; readonly height: number },
  appearance: (bar: B) => BarAppearance,
): void {
  const { left, plot, span, colors: colors } = frame;
  const middle = y + height / 2 - 1;
  c.fillStyle = colors.second;
  c.fillText(fitText(c, name, left - 8), 0, middle);
  c.fillStyle = colors.rule;
  c.fillRect(left, y + height - 2, plot, 1);
  let drawnTo = -1;
  for (const bar of bars) {
    if (bar.from > span.to) break;
    const [x1, x2] = ends(frame, bar) ?? [0, 0];
    if (x2 === 0) continue;
    const w = Math.max(1, x2 - x1);
    // Draw at most one bar per pixel.
    if (w <= 1 && Math.floor(x1) === drawnTo) continue;
    drawnTo = Math.floor(x1);
    const { name: text, colour, faint, head } = appearance(bar);
    c.globalAlpha = faint === true ? 0.55 : 1;
    c.fillStyle = colour;
    c.fillRect(x1, y + 3, w > 3 ? w - 0.75 : w, height - 8);
    c.globalAlpha = 1;
    const headTo = head === undefined || head.us <= 0 ? x1 : Math.min(left + plot, xOf(frame, bar.from + head.us));
    if (head !== undefined && headTo > x1) {
      c.fillStyle = head.colour;
      c.fillRect(x1, y + 3, Math.max(1, headTo - x1), height - 8);
    }
    if (w <= minNamedWidth) continue;
    c.fillStyle = faint === true ? colors.text : foregroundOn(colour);
    c.fillText(fitText(c, text, w - 8), x1 + 4, middle);
  }
}

/** Draws a frame around a bar of the lane at `y`. */
export function outlineBar(
  c: CanvasRenderingContext2D,
  frame: LaneFrame,
  bar: LaneBar,
  { y, height }: { readonly y: number; readonly height: number },
  colour: string,
): void {
  const at = ends(frame, bar);
  if (at === undefined) return;
  c.strokeStyle = colour;
  c.lineWidth = 2;
  c.strokeRect(at[0] - 1, y + 2, Math.max(3, at[1] - at[0]) + 1, height - 6);
}
