/** Colours and font weights. Without colour, every function returns the text itself. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export function makePaint(enabled: boolean): Paint {
  const style =
    (on: number, off: number) =>
    (text: string): string =>
      enabled && text !== "" ? `\x1b[${on}m${text}\x1b[${off}m` : text;
  return { bold: style(1, 22), dim: style(2, 22), red: style(31, 39), green: style(32, 39), yellow: style(33, 39), cyan: style(36, 39) };
}

/** Whether a stream may show colour: it is a terminal, and neither `--no-color` nor NO_COLOR (https://no-color.org) nor a dumb terminal disables it. */
export function wantsColor(stream: { readonly isTTY?: boolean }, allowed: boolean, env: NodeJS.ProcessEnv): boolean {
  return allowed && stream.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}
