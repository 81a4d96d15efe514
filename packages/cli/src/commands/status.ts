import type { JobDetail, Status } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { ExitCode, formatDuration, textTable, counted } from "@lapidary/std";
import type { Context } from "../context.js";
import { expertsText } from "@lapidary/report/experts-text";
import { goodputText } from "@lapidary/report/goodput-text";
import { connect } from "./connect.js";

export async function status(context: Context): Promise<ExitCode> {
  const { console } = context;
  const client = await connect(context);
  const facts = await client.status();
  const running = await runningJobs(client, facts);
  console.result({ ...facts, running, url: client.pageUrl }, () => statusText(facts, running, client.pageUrl, context.clock.now()));
  return ExitCode.done;
}

/** The goodput, the last metrics and the warnings of the jobs that have chips. */
interface Running extends Pick<JobDetail, "goodput" | "metrics" | "warnings"> {
  readonly job: string;
}

async function runningJobs(client: CoordinatorClient, { pods }: Status): Promise<Running[]> {
  const ids = [...new Set(pods?.slices.map(({ job }) => job) ?? [])];
  return Promise.all(
    ids.map(async (job) => {
      // The job may have ended after the status.
      const { goodput, metrics, warnings } = await client.get(job).catch((): Partial<JobDetail> => ({}));
      return {
        job,
        ...(goodput === undefined ? {} : { goodput }),
        ...(metrics === undefined ? {} : { metrics }),
        warnings: warnings ?? [],
      };
    }),
  );
}

function statusText(status: Status, running: readonly Running[], url: string, now: number): string {
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
        : `${pods.pods} × ${pods.name}, torus ${pods.torus}: ${pods.free_chips} of ${counted(pods.chips, "chip")} free`,
    ],
    ["jobs", waiting.length === 0 ? "none" : waiting.map(([state, count]) => `${count} ${state}`).join(", ")],
    ["state in", status.home],
  ];
  const text = lines.map(([name, value]) => `${name.padEnd(13)}${value}`).join("\n");
  if (pods === undefined || pods.slices.length === 0) return text;
  const slices = pods.slices.map(({ job, pod, origin, dims }) => {
    const own = running.find((each) => each.job === job);
    return [job, String(pod), dims.join("x"), origin.join(","), goodputText(own?.goodput) ?? "-", `${own?.warnings?.length ?? 0}`];
  });
  const columns = [
    { title: "job" },
    { title: "pod", align: "right" },
    { title: "slice" },
    { title: "first chip" },
    { title: "goodput" },
    { title: "warnings", align: "right" },
  ] as const;
  const experts = running.flatMap(({ job, metrics }) => {
    const load = expertsText(metrics);
    return load === undefined ? [] : [`${job}: ${load}`];
  });
  return [text, "", textTable([...columns], slices), ...(experts.length === 0 ? [] : ["", ...experts])].join("\n");
}
