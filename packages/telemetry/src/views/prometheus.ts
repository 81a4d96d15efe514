import { type JobSummary, jobStates, type Status } from "@lapidary/api";

/** Runs that ended earlier are skipped, so that the number of series is bounded. */
const reportedAfterEndMs = 10 * 60_000;

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly of: (job: JobSummary) => number | undefined;
}

const perJob: readonly Metric[] = [
  { name: "lapidary_job_step", help: "Steps whose metrics have arrived.", of: ({ step }) => step },
  { name: "lapidary_job_steps", help: "Steps that the job has in all.", of: ({ steps }) => steps },
  { name: "lapidary_job_loss_nats", help: "Training loss of the last step, nats per token.", of: ({ loss }) => loss },
  { name: "lapidary_job_heldout_loss_nats", help: "Loss of the last evaluation, nats per token.", of: ({ heldout_loss }) => heldout_loss },
  { name: "lapidary_job_tokens_per_second", help: "Tokens trained on in a second.", of: ({ tokens_per_s }) => tokens_per_s },
  { name: "lapidary_job_eta_seconds", help: "Time that the rest of the steps will take.", of: ({ eta_s }) => eta_s },
  { name: "lapidary_job_chips", help: "Chips of the job's slice.", of: ({ chips }) => chips },
];

/** The text format that Prometheus scrapes (version 0.0.4). */
export function prometheusText(status: Status, jobs: readonly JobSummary[], now: number): string {
  const lines: string[] = [];
  const gauge = (name: string, help: string, samples: readonly (readonly [Readonly<Record<string, string>>, number])[]): void => {
    if (samples.length === 0) return;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const [labels, value] of samples) {
      const text = Object.entries(labels).map(([key, label]) => `${key}="${escape(label)}"`);
      lines.push(`${name}${text.length === 0 ? "" : `{${text.join(",")}}`} ${numberText(value)}`);
    }
  };
  gauge(
    "lapidary_jobs",
    "Jobs by state.",
    jobStates.map((state) => [{ state }, status.jobs[state] ?? 0]),
  );
  gauge("lapidary_worker_processes", "Worker processes by what they do.", [
    [{ state: "busy" }, status.workers.filter(({ job }) => job !== undefined).length],
    [{ state: "idle" }, status.workers.filter(({ job }) => job === undefined).length],
  ]);
  gauge("lapidary_redis_connected", "Whether Redis answers.", [[{}, status.redis.connected ? 1 : 0]]);
  gauge("lapidary_start_time_seconds", "When the coordinator started, since the epoch.", [[{}, status.started_at / 1000]]);
  const { pods } = status;
  if (pods !== undefined)
    gauge("lapidary_chips", "Chips of the emulated pods.", [
      [{ pod: pods.name, state: "free" }, pods.free_chips],
      [{ pod: pods.name, state: "taken" }, pods.chips - pods.free_chips],
    ]);
  const reported = jobs.filter(({ finished_at }) => finished_at === undefined || now - finished_at < reportedAfterEndMs);
  for (const { name, help, of } of perJob)
    gauge(
      name,
      help,
      reported.flatMap((job) => {
        const value = of(job);
        return value === undefined ? [] : [[{ job: job.id, model: job.model, state: job.state }, value] as const];
      }),
    );
  return `${lines.join("\n")}\n`;
}

/** The spelling of infinity in the format. */
const numberText = (value: number): string => (Math.abs(value) === Infinity ? (value > 0 ? "+Inf" : "-Inf") : String(value));

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
