import { spawn } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import type { Context } from "../context.js";

/**
 * Shows a result: as `console.result` does, or in a pager if a terminal shows it and it has more rows than the terminal. The pager is
 * LAPIDARY_PAGER, PAGER or `less`; an empty one and `cat` turn paging off.
 */
export async function showPaged(
  { console, env, interrupts }: Pick<Context, "console" | "env" | "interrupts">,
  value: unknown,
  text: () => string,
): Promise<void> {
  const pager = pagerOf(env);
  if (!console.streams || pager === undefined) return console.result(value, text);
  const shown = text().trimEnd();
  if (rowsOf(shown, console.columns) < console.rows) return console.result(value, () => shown);
  // Ctrl-C belongs to the pager, which gets it from the terminal too.
  const release = interrupts.takeOver(() => undefined);
  const wasShown = await page(`${shown}\n`, pager, env).finally(release);
  if (!wasShown) console.result(value, () => shown);
}

/** The command line of the pager; undefined for none. */
export function pagerOf(env: NodeJS.ProcessEnv): string | undefined {
  const pager = (env["LAPIDARY_PAGER"] ?? env["PAGER"] ?? "less").trim();
  return pager === "" || pager === "cat" || env["TERM"] === "dumb" ? undefined : pager;
}

/** The exit codes of a shell that cannot start a command. */
const notStarted = [126, 127];

/**
 * Runs a pager with a text on its standard input, until it ends.
 *
 * @param command a command line of the shell
 * @returns whether the pager could be started
 */
export function page(text: string, command: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  // F: exit if the text fits; R: show colours; X: keep the text on the screen.
  const child = spawn(command, { shell: true, stdio: ["pipe", "inherit", "inherit"], env: { LESS: "FRX", ...env } });
  // A reader who quits early closes the pipe.
  child.stdin.on("error", () => undefined);
  child.stdin.end(text);
  return new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === null || !notStarted.includes(code)));
  });
}

/** The rows of a terminal that a text takes. Codes of colours take none. */
export function rowsOf(text: string, columns: number): number {
  return stripVTControlCharacters(text)
    .split("\n")
    .reduce((rows, line) => rows + Math.max(1, Math.ceil(line.length / columns)), 0);
}
