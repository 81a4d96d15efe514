import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "@lapidary/std";
import type { Console } from "./terminal/console.js";
import type { Interrupts } from "./terminal/interrupts.js";

/** The arguments of every command: its output, its directories, and its interrupts. */
export interface Context {
  readonly console: Console;
  readonly interrupts: Interrupts;
  readonly clock: Clock;
  readonly env: NodeJS.ProcessEnv;
  /** Whether a person can read the output and type an answer. `</dev/null` means that no person can. */
  readonly attended: boolean;
  /** Absolute; the base of relative paths of the command line. */
  readonly cwd: string;
  /** Absolute; the directory of configs, tools and packages. */
  readonly root: string;
  /** Absolute; the state directory. */
  readonly home: string;
  /** The command as it was typed, without arguments: `lapidary ckpt verify`. */
  readonly command: string;
}

/** Relative to the compiled file in packages/cli/dist. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** `--home`, LAPIDARY_HOME, or `.lapidary` in the project. */
export function homeDirectory(option: string | undefined, env: NodeJS.ProcessEnv, cwd: string, root: string): string {
  const chosen = option ?? env["LAPIDARY_HOME"] ?? "";
  return chosen === "" ? join(root, ".lapidary") : resolve(cwd, chosen);
}
