/** A canvas of so many CSS pixels, sharp on any screen, cleared; undefined where it cannot be drawn on. */
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

export interface Inks {
  readonly ink: string;
  readonly second: string;
  readonly third: string;
  readonly rule: string;
  readonly faint: string;
  readonly wash: string;
  readonly paper: string;
  readonly accent: string;
  readonly link: string;
  readonly sans: string;
}

/** The colours of the style sheet, for what is drawn. Read when the theme changes. */
export function inks(): Inks {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: of("ink"),
    second: of("ink-2"),
    third: of("ink-3"),
    rule: of("rule"),
    faint: of("rule-2"),
    wash: of("wash"),
    paper: of("paper"),
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
