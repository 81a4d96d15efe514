import type { GoodputReport } from "@lapidary/api";
import { type MetricInfo, metricInfo } from "@lapidary/api/metric-info";
import type { ProgramView } from "@lapidary/api/program-view";
import type { RunData } from "./run-data.js";

/** Figures derived from a run and its program. */
export interface RunFigures {
  readonly zero?: number;
  /** Bytes that a chip sends per step. */
  readonly sent?: number;
  /** Share of the time since the start of the run that was spent in completed steps. */
  readonly goodput?: number;
  /** The largest losses of the rest of the time: at most three, each at least 1 %. */
  readonly losses?: readonly { readonly what: string; readonly share: number }[];
  /** The recipe; absent for pretraining. */
  readonly recipe?: string;
  readonly heldout: HeldoutTerms;
  /** The metrics of the last step that a user looks at first. */
  readonly metrics: readonly (MetricInfo & { readonly value: number })[];
  readonly sample?: { readonly prompt: string; readonly text: string };
}

/** What `heldout_loss` and `unigram_loss` of a recipe are. */
export interface HeldoutTerms {
  readonly name: string;
  /** −1 if the loss is the negative of what is shown. */
  readonly sign: 1 | -1;
  /** The name of `unigram_loss`; undefined if it has no meaning. */
  readonly reference: string | undefined;
}

/** The loss of an evaluation of rl is the negative mean score. That of pairs is compared with ln 2, the loss of chance. */
export function heldoutTerms(recipe: unknown): HeldoutTerms {
  if (recipe === "rl") return { name: "held-out reward", sign: -1, reference: undefined };
  return { name: "held-out loss", sign: 1, reference: recipe === "reward" || recipe === "dpo" ? "chance" : "unigram" };
}

const headMetrics = ["reward", "kl", "accuracy"];

export function runFigures(data: RunData, program: ProgramView | undefined, now: number): RunFigures {
  const { job } = data;
  const { zero, recipe } = (job.job ?? {}) as { zero?: unknown; recipe?: unknown };
  const metrics = headMetrics.flatMap((name) => {
    const value = job.metrics?.[name];
    return value === undefined ? [] : [{ ...metricInfo(name), value }];
  });
  const sample = (data.report as { sample?: { prompt?: unknown; text?: unknown } } | undefined)?.sample;
  const good = job.goodput?.ratio ?? goodput(data, now);
  return {
    metrics,
    heldout: heldoutTerms(recipe),
    ...(typeof recipe === "string" ? { recipe } : {}),
    ...(typeof zero === "number" ? { zero } : {}),
    ...(program === undefined ? {} : { sent: program.link_bytes.dcn + program.link_bytes.dims.reduce((a, b) => a + b, 0) }),
    ...(good === undefined ? {} : { goodput: good }),
    ...(job.goodput === undefined ? {} : { losses: lossesOf(job.goodput) }),
    ...(typeof sample?.text === "string" && sample.text !== ""
      ? { sample: { prompt: String(sample.prompt ?? ""), text: sample.text } }
      : {}),
  };
}

function lossesOf({ lost_ms, wall_ms }: GoodputReport): NonNullable<RunFigures["losses"]> {
  return Object.entries(lost_ms)
    .map(([what, ms]) => ({ what, share: ms / Math.max(1, wall_ms) }))
    .filter(({ share }) => share >= 0.01)
    .sort((a, b) => b.share - a.share)
    .slice(0, 3);
}

function goodput({ job, series, lastRow }: RunData, now: number): number | undefined {
  const { started_at, finished_at } = job;
  const ms = series.column("step_ms");
  const steps = series.steps();
  if (started_at === undefined || steps.length === 0) return undefined;
  // A bucket has only the minimum and maximum of its steps: use their mean for all steps.
  let busy = 0;
  let before = 0;
  steps.forEach((step, i) => {
    busy += (step - before) * (((ms.min[i] ?? 0) + (ms.max[i] ?? 0)) / 2);
    before = step;
  });
  const until = finished_at ?? lastRow?.time ?? now;
  return until <= started_at ? undefined : Math.min(1, busy / (until - started_at));
}
