import { spawn } from "node:child_process";
import { join } from "node:path";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";

/**
 * Runs the set-up, or only the named steps, as a process of its own, because the set-up may replace files that this process has loaded.
 * The set-up prints to stderr.
 */
export async function setup({ console, root, env }: Context, steps: readonly string[]): Promise<ExitCode> {
  const child = spawn(process.execPath, [join(root, "tools/setup/main.mjs"), ...steps], { cwd: root, env, stdio: ["ignore", 2, 2] });
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? 1));
  });
  if (console.options.json) console.result({ ok: code === 0, steps: [...steps] }, () => "");
  return code === 0 ? ExitCode.done : ExitCode.other;
}
