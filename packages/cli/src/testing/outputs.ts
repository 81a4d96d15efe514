import { type ConsoleOptions, Console } from "../terminal/console.js";
import type { Output } from "../terminal/output.js";

/** An output that collects the written text. */
export class CollectedOutput implements Output {
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
export function collectingConsole(
  options: Partial<ConsoleOptions> = {},
  terminal = false,
  env: NodeJS.ProcessEnv = {},
): { console: Console; stdout: CollectedOutput; stderr: CollectedOutput } {
  const [stdout, stderr] = [new CollectedOutput(terminal), new CollectedOutput(terminal)];
  return {
    console: new Console(stdout, stderr, { json: false, quiet: false, verbose: false, color: true, ...options }, env),
    stdout,
    stderr,
  };
}
