import { availableParallelism } from "node:os";
import { serveQueue } from "@lapidary/offline/data-worker";
import { ExitCode } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataWorkerOptions {
  /** A URL or `auto`. */
  readonly redis: string | undefined;
  readonly cores: number | undefined;
}

/** `lapidary data worker` computes tasks of planners until it is interrupted. */
export async function runDataWorker(
  { console, interrupts, root, home, env }: Context,
  { redis = "auto", cores = availableParallelism() }: DataWorkerOptions,
): Promise<ExitCode> {
  if (cores === 0) throw argumentError("invalid number of cores: 0", "--cores", "write at least 1");
  const reporter = consoleReporter(console);
  let stored = 0;
  reporter.progress("data worker", () => `${cores} processes wait for tasks`);
  await serveQueue({ redis, root, home, env, warn: reporter.warn }, cores, interrupts.signal, (what, state, key) => {
    reporter.detail(`${state} ${key} ${what}`);
    if (state === "stored") stored++;
    reporter.progress("data worker", () => `${stored} tasks stored; ${state} ${what}`);
  }).finally(reporter.end);
  console.result({ cores, stored }, () => `${stored} tasks stored`);
  return ExitCode.done;
}
