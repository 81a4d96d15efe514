import {
  type ContextPlan,
  type ExpertPlan,
  type FitAdvice,
  gigabytes,
  type GradientSumsPlan,
  type KernelReport,
  percent,
  type OtherAttention,
  type PipelinePlan,
  type PlanReport,
  seconds,
  type SearchedPlan,
  type StepPlan,
  type WeightShards,
} from "@lapidary/offline/plan";
import { counted, formatBytes, formatCount, textTable } from "@lapidary/std";
import { fitText } from "./fit-text.js";
import type { Paint } from "./paint.js";

/** The advice for a plan that does not fit. */
export interface FitText {
  readonly advice: readonly FitAdvice[];
  /** Whether the warnings say that chips of the job compute the same. More chips would not help such a job. */
  readonly repeats: boolean;
}

/** The tables of `lapidary plan`. */
export function planText(
  { report, budget, shards, lossChunks, otherAttention, microbatches, pipeline, experts, context }: StepPlan,
  fit: FitText,
  paint: Paint,
): string {
  return [
    `${paint.bold(`${seconds(report.step_time_s)} a step`)} on ${counted(report.chips, `${report.chip} chip`)} (${report.pods === 1 ? "one pod" : `${report.pods} pods`}, ${report.torus} of each), mesh ${report.mesh}`,
    `${parametersText(report)} · ${formatCount(report.tokens_per_step)} tokens a step · ${formatCount(Math.round(report.tokens_per_s))} tokens/s · MFU ${percent(report.mfu)} (${percent(report.mfu_causal)} when only what the causal mask leaves counts)${calibrationNote(report)} · bound by ${report.bound}`,
    `the job's ${formatCount(budget.tokens)} tokens take ${budget.days < 1 ? seconds(budget.days * 86_400) : `${budget.days.toFixed(1)} days`}, ${formatCount(Math.round(budget.chip_hours))} chip-hours`,
    ...(experts === undefined ? [] : [expertsText(experts)]),
    ...(pipeline === undefined ? [] : pipelineLines(pipeline)),
    ...(context === undefined ? [] : [contextText(context)]),
    ...(lossChunks === 1 ? [] : [lossChunksText(lossChunks)]),
    ...(microbatches === undefined ? [] : microbatchLines(microbatches)),
    ...(otherAttention === undefined ? [] : [attentionLine(otherAttention)]),
    ...reportTables(report, report.fits ? [] : fitLines(report, fit, paint), paint),
    "",
    paint.bold("Shards"),
    textTable(
      [{ title: "  tensor" }, { title: "dims", align: "right" }, { title: "split over" }, right("of a chip"), right("bytes")],
      shardRows(shards),
    ),
  ].join("\n");
}

const right = (title: string): { title: string; align: "right" } => ({ title, align: "right" });

/** Where time and memory go, the most expensive kernels, and the collectives. `misfit` follows the memory. */
export function reportTables(report: PlanReport, misfit: readonly string[], paint: Paint): string[] {
  const lines = (title: string, rows: readonly (readonly string[])[]): string[] => [
    "",
    paint.bold(title),
    textTable(
      [{ title: "" }, right("")],
      rows.map(([a = "", b = ""]) => [`  ${a}`, b]),
    )
      .split("\n")
      .slice(1)
      .join("\n"),
  ];
  return [
    ...lines("Where the time goes", timeRows(report)),
    ...lines(`HBM of a chip (limit ${gigabytes(report.hbm_limit)})`, [
      ...(["params", "optimizer", "gradients", "activations", "temporary"] as const).map((kind) => [
        kind,
        gigabytes(report.hbm_bytes[kind]),
      ]),
      ["peak of all together", `${gigabytes(report.hbm_bytes.peak)} ${fitText(report, paint)}`],
    ]),
    ...misfit,
    "",
    paint.bold("The most expensive kernels, those of all layers together"),
    textTable(
      [{ title: "  kernel" }, { title: "pass" }, right("count"), right("time"), right("share"), { title: "limit" }],
      report.kernels.slice(0, 10).map((kernel) => kernelRow(kernel, report)),
    ),
    "",
    paint.bold("Collectives"),
    textTable(
      [{ title: "  collective" }, { title: "over" }, right("count"), right("a chip sends"), right("in flight"), right("waited for")],
      report.collectives
        .slice(0, 10)
        .map((c) => [
          `  ${c.op}`,
          c.axis,
          String(c.count),
          formatBytes(Math.round(c.sent_bytes_per_chip)),
          seconds(c.time_s),
          seconds(c.exposed_s),
        ]),
    ),
    paint.dim("`lapidary explain` gives the reason of each"),
  ];
}

const parametersText = ({ parameters, active_parameters: active }: PlanReport): string =>
  `${formatCount(parameters)} parameters${active === parameters ? "" : `, ${formatCount(Math.round(active))} active`}`;

const expertsText = (plan: ExpertPlan): string => {
  const head = `each token chooses ${plan.per_token} of ${plan.experts} experts: ${formatCount(plan.rows_chosen)} rows chosen, ${formatCount(plan.rows_computed)} computed`;
  if (plan.dispatch === "dense") return `${head}, because every expert computes every token; none is dropped`;
  if (plan.dispatch === "dropless")
    return `${head} and none dropped, in buffers of ${formatCount(plan.rows_stored)} rows; times assume ${plan.imbalance === 1 ? "that all chips of the experts have equally many rows" : `${plan.imbalance} × the mean of the rows on every chip of the experts`}`;
  return `${head}; ${percent(plan.dropped_share_random)} of the choices dropped if they are random, more if the router prefers some experts`;
};

const contextText = ({ strategy, parts, balance, slowest_scores: slowest, slowest_scores_balanced: balanced }: ContextPlan): string => {
  const head = `context.strategy: ${strategy} over ${parts} parts of a row${balance ? ", in balanced order" : ""}: the causal mask leaves the slowest chip ${slowest.toFixed(2)} × the mean of the scores`;
  return slowest - balanced < 0.01 ? head : `${head}, and ${balanced.toFixed(2)} × with context.balance: true`;
};

function pipelineLines({ order, stages, repeats, layers_per_stage: layers, microbatches, ...plan }: PipelinePlan): string[] {
  const rounds = repeats === 1 ? "" : ` in each of ${repeats} repeats`;
  const numbers = (each: readonly (number | string)[]): string => (new Set(each).size === 1 ? `${each[0]}` : each.join(", "));
  const idle = plan.idle_share_by_stage.map(percent);
  const { rows_per_chip: rows, matmul_efficiency: efficiency } = plan;
  const ofMatmuls = efficiency === null ? "" : `, and matmuls of ${counted(rows, "row")} a chip reach ${percent(efficiency)} of the peak`;
  return [
    `pipeline.order: ${order}, ${stages} stages of ${counted(layers, "layer")}${rounds}, ${counted(microbatches, "microbatch", "microbatches")}; a stage has no microbatch for ${percent(plan.bubble_share)} of the step${ofMatmuls}`,
    `  by stage, without a microbatch: ${numbers(idle)}; microbatches in flight: ${numbers(plan.in_flight_by_stage)}`,
  ];
}

/** @param count more than one piece */
export const lossChunksText = (count: number): string =>
  `loss_chunks: the loss and the gradients of its logits are computed in ${count} pieces of the sequence, one after the other`;

/** How the gradients of microbatches are added, with the bytes of both ways. */
function microbatchLines({ count, sums }: NonNullable<StepPlan["microbatches"]>): string[] {
  const form = ({ gradient_sums: sum, gradient_bytes: stored, sent_bytes: sent, step_time_s: time }: GradientSumsPlan): string =>
    `train.gradient_sums=${sum}: ${gigabytes(stored)} of gradients, a chip sends ${formatBytes(Math.round(sent))}, ${seconds(time)} a step`;
  return [`train.microbatches: ${count} parts of the batch, one update; ${sums.map(form).join("; ")}`];
}

/** What the times assume about attention, and what the other assumption gives. */
function attentionLine({ attention, step_time_s, hbm_bytes_peak, fits }: OtherAttention): string {
  const assumed = attention === "plain" ? "one flash kernel a pass" : "plain matmuls and loops, as exports have it";
  return `attention is timed as ${assumed}; attention=${attention}: ${seconds(step_time_s)} a step, ${gigabytes(hbm_bytes_peak)} of HBM${fits ? "" : ", which does not fit"}`;
}

function timeRows(report: PlanReport): string[][] {
  const row = (what: string, time: number): string[] => [
    what,
    `${seconds(time).padStart(9)}  ${percent(time / report.step_time_s).padStart(6)}`,
  ];
  return [
    row("compute", report.compute_s),
    row("  of it lost to concurrent transfers", report.overlap_loss_s),
    row("  of it the optimizer", report.optimizer_s),
    ...Object.entries(report.exposed_s)
      .sort((a, b) => b[1] - a[1])
      .map(([axis, time]) => row(`waiting for collectives over ${axis}`, time)),
    ...(report.bubble_s > 0 ? [row("of all this, stages without a microbatch", report.bubble_s)] : []),
    ...(report.pods > 1
      ? [row("  of it on the network between pods", report.dcn_s), row("waiting for the slowest pod", report.pod_wait_s)]
      : []),
    ...(report.host_s > 0 ? [row("waiting for host memory", report.host_s)] : []),
  ];
}

/** Replaces the advice to take more chips if chips of the job compute the same. */
export const removeRepetition = "chips compute the same, as the warnings say: correct that first";

export function fitLines(
  report: { readonly hbm_bytes: { readonly peak: number }; readonly hbm_limit: number },
  { advice, repeats }: FitText,
  paint: Paint,
): string[] {
  const over = report.hbm_bytes.peak - report.hbm_limit;
  const best = advice.at(-1);
  const remedy =
    best === undefined
      ? `nothing that was tried lowers it: ${repeats ? removeRepetition : "take a smaller batch or more chips"}`
      : `${best.overrides.join(" ")} ${best.fits ? "makes it fit" : "does not suffice"}: ${gigabytes(best.hbm_bytes_peak)}, ${seconds(best.step_time_s)} a step${best.fits ? "" : `; ${repeats ? removeRepetition : "take more chips as well"}`}`;
  return ["", `${paint.red("does not fit")}: ${gigabytes(over)} too much. ${remedy}`];
}

const kernelRow = (kernel: KernelReport, report: PlanReport): string[] => [
  `  ${kernel.name}`,
  kernel.phase,
  String(kernel.count),
  seconds(kernel.time_s),
  percent(kernel.time_s / report.step_time_s),
  kernel.limit,
];

/** Layers are alike, so the first layer represents all. */
const shardRows = (weights: readonly WeightShards[]): string[][] =>
  weights.map(({ name, dims, sharding, local_dims, bytes_per_chip, count }) => [
    `  ${name}${count > 1 ? ` (${count})` : ""}`,
    dims || "1",
    sharding,
    local_dims || "1",
    formatBytes(bytes_per_chip),
  ]);

/** The table of `lapidary plan --search`, the best plan first. */
export function searchText(plans: readonly SearchedPlan[], file: string | undefined, paint: Paint): string {
  const rows = plans
    .slice(0, 24)
    .map((plan) => [
      seconds(plan.time_s),
      gigabytes(plan.hbm_bytes_peak),
      plan.fits ? "" : "does not fit",
      plan.pareto ? "front" : "",
      plan.compiled_whole ? "whole" : "",
      plan.overrides.join("  "),
    ]);
  return [
    `${plans.length} plans, the fastest first; times are for the tokens of the job's own step`,
    "",
    textTable(
      [
        { title: "time", align: "right" },
        { title: "HBM", align: "right" },
        { title: "" },
        { title: "Pareto" },
        { title: "compiled" },
        { title: "plan" },
      ],
      rows,
    ),
    "",
    file === undefined ? paint.red("none of them fits") : `the best of them is written to ${file}`,
  ].join("\n");
}

/** The error bound of the MFU. */
export const calibrationNote = ({ calibration, chip }: Pick<PlanReport, "calibration" | "chip">): string =>
  calibration === null ? `, NOT CALIBRATED for ${chip}` : `, within ${percent(calibration.worst_error)} of measured runs`;
