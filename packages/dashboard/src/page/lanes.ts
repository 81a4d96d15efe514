import { inkOn } from "../model/palette.js";
import type { Span } from "../model/route.js";
import { fitText, type Inks } from "./canvas.js";

/** Where lanes of bars lie on a canvas: names on the left, and beside them a plot of so much of a step. Pixels, and microseconds of `span`. */
export interface LaneFrame {
  readonly left: number;
  readonly plot: number;
  readonly span: Span;
  readonly inks: Inks;
}

export interface LaneBar {
  readonly from: number;
  readonly to: number;
}

/** How a bar looks. */
export interface BarLook {
  readonly name: string;
  readonly colour: string;
  /** Painted faintly, with its name in ink. */
  readonly faint?: boolean;
  /** So much of its beginning is painted in another colour. */
  readonly head?: { readonly us: number; readonly colour: string };
}

/** Bars narrower than this have no name. */
const namedFrom = 36;

export const xOf = ({ left, plot, span }: LaneFrame, us: number): number => left + ((us - span.from) / (span.to - span.from)) * plot;

/** The bar's ends on the canvas, as far as it is in the plot; undefined where it is outside of it. */
function ends(frame: LaneFrame, { from, to }: LaneBar): readonly [number, number] | undefined {
  if (to < frame.span.from || from > frame.span.to) return undefined;
  return [Math.max(frame.left, xOf(frame, from)), Math.min(frame.left + frame.plot, xOf(frame, to))];
}

/** Draws a lane's name, its base line, and its bars, which are sorted by their begin. */
export function drawLane<B extends LaneBar>(
  c: CanvasRenderingContext2D,
  frame: LaneFrame,
  { name, bars, y, height }: { readonly name: string; readonly bars: readonly B[]; readonly y: number; readonly height: number },
  look: (bar: B) => BarLook,
): void {
  const { left, plot, span, inks } = frame;
  const middle = y + height / 2 - 1;
  c.fillStyle = inks.second;
  c.fillText(fitText(c, name, left - 8), 0, middle);
  c.fillStyle = inks.rule;
  c.fillRect(left, y + height - 2, plot, 1);
  let drawnTo = -1;
  for (const bar of bars) {
    if (bar.from > span.to) break;
    const [x1, x2] = ends(frame, bar) ?? [0, 0];
    if (x2 === 0) continue;
    const w = Math.max(1, x2 - x1);
    // What is thinner than a pixel is drawn once a pixel.
    if (w <= 1 && Math.floor(x1) === drawnTo) continue;
    drawnTo = Math.floor(x1);
    const { name: text, colour, faint, head } = look(bar);
    c.globalAlpha = faint === true ? 0.55 : 1;
    c.fillStyle = colour;
    c.fillRect(x1, y + 3, w > 3 ? w - 0.75 : w, height - 8);
    c.globalAlpha = 1;
    const headTo = head === undefined || head.us <= 0 ? x1 : Math.min(left + plot, xOf(frame, bar.from + head.us));
    if (head !== undefined && headTo > x1) {
      c.fillStyle = head.colour;
      c.fillRect(x1, y + 3, Math.max(1, headTo - x1), height - 8);
    }
    if (w <= namedFrom) continue;
    c.fillStyle = faint === true ? inks.ink : inkOn(colour);
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
