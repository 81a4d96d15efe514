import type { Status } from "@lapidary/coordinator/api";
import { ExitCode, formatDuration, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import { connect } from "./connect.js";

export async function status(context: Context): Promise<ExitCode> {
  const { console } = context;
  const client = await connect(context);
  const facts = await client.status();
  console.result({ ...facts, url: client.pageUrl }, () => statusText(facts, client.pageUrl, context.clock.now()));
  return ExitCode.done;
}

function statusText(status: Status, url: string, now: number): string {
  const { pods, workers, redis, jobs } = status;
  const waiting = Object.entries(jobs).filter(([, count]) => count > 0);
  const lines: (readonly [string, string])[] = [
    ["coordinator", `process ${status.pid}, up ${formatDuration(now - status.started_at)}, port ${status.port}`],
    ["dashboard", url],
    ["redis", `${redis.address}${redis.connected ? "" : "  NOT CONNECTED"}`],
    [
      "workers",
      workers.length === 0
        ? "none started yet"
        : workers.map(({ worker, pid, job }) => `${worker} (process ${pid}${job === undefined ? "" : `, ${job}`})`).join(", "),
    ],
    [
      "pods",
      pods === undefined
        ? "none in use"
        : `${pods.pods} × ${pods.name}, torus ${pods.torus}: ${pods.free_chips} of ${pods.chips} chips free`,
    ],
    ["jobs", waiting.length === 0 ? "none" : waiting.map(([state, count]) => `${count} ${state}`).join(", ")],
    ["state in", status.home],
  ];
  const text = lines.map(([name, value]) => `${name.padEnd(13)}${value}`).join("\n");
  if (pods === undefined || pods.slices.length === 0) return text;
  const slices = pods.slices.map(({ job, pod, origin, dims }) => [job, String(pod), dims.join("x"), origin.join(",")]);
  return `${text}\n\n${textTable([{ title: "job" }, { title: "pod", align: "right" }, { title: "slice" }, { title: "first chip" }], slices)}`;
}
