import type { LogLine } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode } from "@lapidary/std";
import type { Context } from "../context.js";
import { withReader } from "./connect.js";
import { activityText, stepLine } from "@lapidary/report/job-line";

export interface LogsOptions {
  readonly id: string;
  readonly follow: boolean;
  readonly worker: number | undefined;
}

/** The log lines of a run; with `follow` also later lines, until the job ends. With `--json` one object per line. */
export const logs = (context: Context, options: LogsOptions): Promise<ExitCode> =>
  withReader(context, (client, isLive) => showLogs(context, client, { ...options, follow: options.follow && isLive }));

async function showLogs(context: Context, client: CoordinatorClient, { id, follow, worker }: LogsOptions): Promise<ExitCode> {
  const print = (line: LogLine): void => context.console.result(line, () => logText(context, line));
  // Requested first, so that an unknown run is an error and not an empty log.
  const { steps } = await client.get(id);
  if (!follow) {
    for await (const line of allLines(client, id, worker)) print(line);
    return ExitCode.done;
  }
  const wanted = worker === undefined ? undefined : `worker ${worker}`;
  for await (const event of client.stream(id, { signal: context.interrupts.signal })) {
    if (event.event === "log" && (wanted === undefined || event.data.source === wanted)) print(event.data);
    else if (wanted === undefined && event.event === "metrics" && event.data.kind === "train")
      context.console.detail(stepLine(event.data, steps));
    else if (wanted === undefined && event.event === "state")
      context.console.detail(
        [event.data.state, ...(event.data.activity === undefined ? [] : [activityText(event.data.activity)])].join(": "),
      );
    else if (event.event === "done")
      context.console.say(
        `run ${id} ${event.data.state === "done" ? "is done" : event.data.state === "failed" ? `failed: ${event.data.error?.message ?? "no reason is known"}` : "was cancelled"}`,
      );
  }
  context.interrupts.signal.throwIfAborted();
  return ExitCode.done;
}

async function* allLines(client: CoordinatorClient, id: string, worker: number | undefined): AsyncGenerator<LogLine> {
  for (let from: number | undefined = 0; from !== undefined; ) {
    const page = await client.logs(id, { from, limit: 10_000, ...(worker === undefined ? {} : { worker }) });
    yield* page.lines;
    from = page.next_from;
  }
}

function logText(context: Context, { time, source, line }: LogLine): string {
  return `${context.console.paint.dim(`${new Date(time).toISOString().slice(11, 23)}  ${source.padEnd(11)}`)}  ${line}`;
}
