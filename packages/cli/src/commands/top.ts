import type { JobSummary } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { adviceOf, type RunAdvice } from "@lapidary/api/run-advice";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { topFrame, type TopFacts } from "@lapidary/report/top-frame";
import { readDetail, recentWorkerSteps, type RunDetail } from "./advice.js";
import { connect } from "./connect.js";

const everyMs = 1000;

/** The pods and their jobs, drawn every second until Ctrl-C; once without a terminal, or with `--json`. */
export async function top(context: Context, once: boolean): Promise<ExitCode> {
  const reader = new FactsReader(await connect(context));
  const { console, interrupts } = context;
  if (once || console.options.json || !console.interactive) {
    const facts = await reader.read(context.clock.now());
    const [workers, advice] = [Object.fromEntries(facts.workers), Object.fromEntries(facts.advice)];
    console.result({ status: facts.status, jobs: facts.jobs, workers, advice }, () => topFrame(facts, console.columns, console.paint));
    return ExitCode.done;
  }
  // The alternate screen, without a cursor. The terminal restores its text at the end.
  console.text("\u001b[?1049h\u001b[?25l");
  try {
    while (!interrupts.signal.aborted) {
      const frame = topFrame(await reader.read(context.clock.now()), console.columns, console.paint);
      console.text(`\u001b[H${frame.replaceAll("\n", "\u001b[K\n")}\u001b[K\n${console.paint.dim("Ctrl-C ends")}\u001b[J`);
      await pause(everyMs, interrupts.signal);
    }
  } finally {
    console.text("\u001b[?25h\u001b[?1049l");
  }
  return ExitCode.done;
}

/** Reads what a frame shows. Jobs and programs, which do not change, are read once. */
class FactsReader {
  readonly #details = new Map<string, RunDetail>();

  constructor(private readonly client: CoordinatorClient) {}

  async read(now: number): Promise<TopFacts> {
    const [status, { jobs }] = await Promise.all([
      this.client.status(),
      this.client.list({ state: ["running", "placing", "compiling", "queued"], limit: 26 }),
    ]);
    const workers = new Map<string, { busy_ms: number; wait_ms: number }[]>();
    const advice = new Map<string, readonly RunAdvice[]>();
    for (const summary of jobs.filter(({ state, dataset }) => state === "running" && dataset === undefined)) {
      const workerSteps = await recentWorkerSteps(this.client, summary);
      const last = workerSteps.at(-1)?.times.map(({ total_ms, wait_ms }) => ({ busy_ms: total_ms - wait_ms, wait_ms }));
      if (last !== undefined) workers.set(summary.id, last);
      const detail = this.#details.get(summary.id) ?? (await readDetail(this.client, summary.id));
      this.#details.set(summary.id, detail);
      advice.set(summary.id, adviceOf({ summary, workerSteps, ...detail }));
    }
    return { status, jobs: [...jobs].sort(byFirstChip), workers, advice, now };
  }
}

/** Jobs with chips first, in the order of their chips. */
function byFirstChip(a: JobSummary, b: JobSummary): number {
  const place = ({ slice }: JobSummary): number =>
    slice === undefined ? Number.POSITIVE_INFINITY : slice.pod * 1e6 + slice.origin.reduce((n, c) => n * 1000 + c, 0);
  const [pa, pb] = [place(a), place(b)];
  return pa === pb ? a.created_at - b.created_at : pa - pb;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    signal.addEventListener("abort", end);
  });
}
