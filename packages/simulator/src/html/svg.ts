/** Text that is safe between tags and in attributes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A length in a drawing, rounded to a hundredth of a pixel. */
export const px = (x: number): string => String(Math.round(x * 100) / 100);

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A rectangle of a class. `title` is its tooltip and its text for screen readers. */
export const rect = ({ x, y, width, height }: Box, kind: string, title: string): string =>
  `<rect class="${kind}" x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}"><title>${escapeHtml(title)}</title></rect>`;

export const label = (x: number, y: number, text: string, kind = "label", anchor: "start" | "middle" | "end" = "start"): string =>
  `<text class="${kind}" x="${px(x)}" y="${px(y)}" text-anchor="${anchor}">${escapeHtml(text)}</text>`;

export const svg = (width: number, height: number, name: string, parts: readonly string[]): string =>
  `<svg viewBox="0 0 ${px(width)} ${px(height)}" role="img" aria-label="${escapeHtml(name)}" style="max-width:${px(width)}px">${parts.join("")}</svg>`;
