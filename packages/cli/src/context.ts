import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "@lapidary/std";
import type { Console } from "./terminal/console.js";
import type { Interrupts } from "./terminal/interrupts.js";

/** What every command is given: where it speaks, where it stands, and how it hears Ctrl-C. */
export interface Context {
  readonly console: Console;
  readonly interrupts: Interrupts;
  readonly clock: Clock;
  readonly env: NodeJS.ProcessEnv;
  /** Whether a person sits before it, to see and to type: `</dev/null` says that none does. */
  readonly attended: boolean;
  /** Absolute; relative paths of the command line begin here. */
  readonly cwd: string;
  /** Absolute; configs, tools and packages lie here. */
  readonly root: string;
  /** Absolute; all state lies here. */
  readonly home: string;
  /** As it was typed, without arguments: `lapidary ckpt verify`. */
  readonly command: string;
}

/** From where this file lies compiled: packages/cli/dist. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** `--home`, LAPIDARY_HOME, or `.lapidary` in the project. */
export function homeDirectory(option: string | undefined, env: NodeJS.ProcessEnv, cwd: string, root: string): string {
  const chosen = option ?? env["LAPIDARY_HOME"] ?? "";
  return chosen === "" ? join(root, ".lapidary") : resolve(cwd, chosen);
}
