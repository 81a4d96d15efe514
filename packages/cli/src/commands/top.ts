import type { JobSummary } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { topFrame, type TopFacts } from "@lapidary/report/top-frame";
import { connect } from "./connect.js";

const everyMs = 1000;

/** The pods and their jobs, drawn every second until Ctrl-C; once without a terminal, or with `--json`. */
export async function top(context: Context, once: boolean): Promise<ExitCode> {
  const client = await connect(context);
  const { console, interrupts } = context;
  if (once || console.options.json || !console.interactive) {
    const facts = await readFacts(client, context.clock.now());
    console.result({ status: facts.status, jobs: facts.jobs, workers: Object.fromEntries(facts.workers) }, () =>
      topFrame(facts, console.columns, console.paint),
    );
    return ExitCode.done;
  }
  // The alternate screen, without a cursor. The terminal restores its text at the end.
  console.text("\u001b[?1049h\u001b[?25l");
  try {
    while (!interrupts.signal.aborted) {
      const frame = topFrame(await readFacts(client, context.clock.now()), console.columns, console.paint);
      console.text(`\u001b[H${frame.replaceAll("\n", "\u001b[K\n")}\u001b[K\n${console.paint.dim("Ctrl-C ends")}\u001b[J`);
      await pause(everyMs, interrupts.signal);
    }
  } finally {
    console.text("\u001b[?25h\u001b[?1049l");
  }
  return ExitCode.done;
}

async function readFacts(client: CoordinatorClient, now: number): Promise<TopFacts> {
  const { FrameReader } = await import("@lapidary/api/frames");
  const [status, { jobs }] = await Promise.all([
    client.status(),
    client.list({ state: ["running", "placing", "compiling", "queued"], limit: 26 }),
  ]);
  const workers = new Map<string, { busy_ms: number; wait_ms: number }[]>();
  for (const job of jobs.filter(({ state }) => state === "running")) {
    const [frame] = new FrameReader().push(await client.workerSteps(job.id, { from: Math.max(0, job.step - 1), points: 2 }));
    const last = frame?.kind === "worker steps" ? frame.steps.at(-1) : undefined;
    if (last !== undefined)
      workers.set(
        job.id,
        last.times.map(({ total_ms, wait_ms }) => ({ busy_ms: total_ms - wait_ms, wait_ms })),
      );
  }
  return { status, jobs: [...jobs].sort(byFirstChip), workers, now };
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
