import { join, resolve } from "node:path";
import { compareWithGolden, type ParityOptions } from "@lapidary/offline/parity";
import { ExitCode, formatDuration } from "@lapidary/std";
import type { Context } from "../context.js";
import { postParityText } from "@lapidary/report/post-parity-text";
import { parityText } from "@lapidary/report/parity-text";
import { stepParityText } from "@lapidary/report/step-parity-text";
import { consoleReporter } from "../terminal/console-reporter.js";

/** Runs a golden bundle on a worker group of its own and compares; exit code 0 only within the tolerances. */
export async function parity(context: Context, options: ParityOptions): Promise<ExitCode> {
  const { console, cwd, root, clock, env, interrupts } = context;
  const startedAt = clock.monotonic();
  const reporter = consoleReporter(console);
  const environment = { cwd, configsDir: join(root, "configs"), env, signal: interrupts.signal };
  const outcome = await compareWithGolden({ ...options, directory: resolve(cwd, options.directory) }, environment, reporter).finally(
    reporter.end,
  );
  const { result, warnings } = outcome;
  console.result({ ...result, warnings }, () =>
    outcome.kind === "pretraining"
      ? parityText(outcome.result, outcome.tolerances, outcome.failures, console.paint)
      : outcome.kind === "step"
        ? stepParityText(outcome.result, console.paint)
        : postParityText(outcome.result, console.paint),
  );
  console.detail(`took ${formatDuration(clock.monotonic() - startedAt)}`);
  return result.ok ? ExitCode.done : ExitCode.other;
}
