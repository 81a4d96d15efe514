import { join } from "node:path";
import { type Clock, systemClock } from "@lapidary/std";
import { runCommandLine } from "../run.js";
import { Interrupts } from "../terminal/interrupts.js";
import { CollectedOutput } from "./outputs.js";

export interface RanCommand {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command line in this process, in a directory that also has its state directory. A process of its own takes half a second of
 * processor time more, most of it to load modules.
 *
 * @param env the environment of the command
 * @param clock limits of time count by it
 */
export async function runInDirectory(
  directory: string,
  words: readonly string[],
  env: NodeJS.ProcessEnv = { LAPIDARY_HOME: join(directory, "home") },
  clock: Clock = systemClock,
): Promise<RanCommand> {
  const [stdout, stderr] = [new CollectedOutput(), new CollectedOutput()];
  const signals = { on: () => undefined, off: () => undefined };
  const exit = await runCommandLine(words, {
    stdout,
    stderr,
    stdinIsTTY: false,
    env,
    cwd: directory,
    clock,
    interrupts: new Interrupts(signals, clock, () => undefined),
  });
  return { exit, stdout: stdout.text, stderr: stderr.text };
}
