/** Resizes a canvas to the given CSS pixels, at the resolution of the screen, and clears it; undefined if it has no 2D context. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | undefined {
  const scale = devicePixelRatio;
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (context === null) return undefined;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

export interface ForegroundColors {
  readonly text: string;
  readonly second: string;
  readonly third: string;
  readonly rule: string;
  readonly faint: string;
  readonly wash: string;
  readonly background: string;
  readonly accent: string;
  readonly link: string;
  readonly sans: string;
}

/** The colours of the style sheet, for drawings on a canvas. Call it again after the theme changes. */
export function foregroundColors(): ForegroundColors {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    text: of("ink"),
    second: of("ink-2"),
    third: of("ink-3"),
    rule: of("rule"),
    faint: of("rule-2"),
    wash: of("wash"),
    background: of("paper"),
    accent: of("accent"),
    link: of("link"),
    sans: '"IBM Plex Sans Condensed", "Arial Narrow", sans-serif',
  };
}

/** Text cut to a width, with an ellipsis; empty where not even that fits. */
export function fitText(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? "" : `${text.slice(0, low)}…`;
}
