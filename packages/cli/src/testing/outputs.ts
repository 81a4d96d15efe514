import { type ConsoleOptions, Console } from "../terminal/console.js";
import type { Output } from "../terminal/output.js";

/** An output that keeps what is written. */
export class Kept implements Output {
  text = "";

  constructor(
    readonly isTTY = false,
    readonly columns = 80,
  ) {}

  write(text: string): void {
    this.text += text;
  }
}

/** A console and its two outputs. */
export function keptConsole(
  options: Partial<ConsoleOptions> = {},
  terminal = false,
  env: NodeJS.ProcessEnv = {},
): { console: Console; stdout: Kept; stderr: Kept } {
  const [stdout, stderr] = [new Kept(terminal), new Kept(terminal)];
  return {
    console: new Console(stdout, stderr, { json: false, quiet: false, verbose: false, color: true, ...options }, env),
    stdout,
    stderr,
  };
}
