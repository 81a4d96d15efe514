import {
  type DataReport,
  isComparison,
  isDataReport,
  isStepReport,
  type MetricsRow,
  type Report,
  type StepReport,
  type TrainingReport,
} from "@lapidary/api";
import { formatBytes, formatCount, formatDuration, textTable, counted } from "@lapidary/std";
import type { Paint } from "./paint.js";
import { type CurvePoint, drawCurve } from "./curve.js";
import { sampleText } from "./sample-text.js";

export interface ReportStyle {
  readonly columns: number;
  readonly paint: Paint;
}

/**
 * The report of a finished run: loss curve, losses, a sample, memory and traffic of each chip, and the path of the
 * checkpoint.
 */
export function runReport(report: Report, metrics: readonly MetricsRow[], { columns, paint }: ReportStyle): string {
  if (isComparison(report)) return `\n${report.text}\n\nprompts, answers and verdicts: ${report.answers}`;
  if (isDataReport(report)) return `\n${dataText(report)}`;
  const heading = (text: string): string => `\n${paint.bold(text)}`;
  const isStep = isStepReport(report);
  const losses: CurvePoint[] = metrics.flatMap((row) => (row.kind === "train" ? [{ step: row.step, value: row.loss }] : []));
  return [
    heading(isStep ? "Training loss" : "Training loss (nats per token)"),
    drawCurve(losses, { width: Math.max(20, Math.min(columns - 12, 72)), height: 8 }),
    heading(isStep ? "Results of the last step" : "Losses"),
    isStep ? resultText(report) : lossText(report),
    ...(isStep || report.sample.prompt + report.sample.text === "" ? [] : [heading("A sample"), sampleText(report.sample, columns, paint)]),
    heading("What each chip held"),
    held(report),
    heading("What each chip sent in a step"),
    moved(report),
    heading("Where the time went"),
    times(report),
    heading("Checkpoint"),
    `  ${report.checkpoint}`,
    ...(isStep
      ? []
      : [
          `  ${paint.dim(`sample it:  lapidary sample ${report.id} "your prompt"`)}`,
          `  ${paint.dim(`export it:  lapidary ckpt export ${report.id} -o DIR   (safetensors; transformers loads it)`)}`,
        ]),
  ].join("\n");
}

/** The result of a data pipeline. */
function dataText({ out, sources, documents, documents_in, computed, found, total_ms }: DataReport): string {
  const rows = Object.entries(sources).map(([name, each]) => [
    name,
    String(each.documents),
    formatBytes(each.bytes),
    each.tokens === 0 ? "" : formatCount(each.tokens),
  ]);
  const number = (title: string): { readonly title: string; readonly align: "right" } => ({ title, align: "right" });
  return [
    textTable([{ title: "source" }, number("documents"), number("text"), number("tokens")], rows),
    `${documents} of ${counted(documents_in, "document")} stay; ${computed} objects computed, ${found} found, ${formatDuration(total_ms)}`,
    `dataset: ${out}`,
    `losses and examples:  lapidary data card ${out}`,
  ].join("\n");
}

/** The scalar results of the last step of a user's program. */
const resultText = ({ metrics, steps }: StepReport): string =>
  Object.entries(metrics)
    .map(([name, value]) => `  ${name}  ${value.toPrecision(6)}   after ${counted(steps, "step")}`)
    .join("\n");

function lossText(report: TrainingReport): string {
  const { train_loss, heldout_loss, unigram_loss, tokens, steps } = report;
  const below = unigram_loss - heldout_loss;
  return [
    `  held-out loss  ${heldout_loss.toFixed(3)}   text that the model has not seen (perplexity ${perplexity(heldout_loss)})`,
    ...Object.entries(report.heldout_losses ?? {}).map(
      ([source, loss]) => `    ${source}: ${loss.toFixed(3)} (perplexity ${perplexity(loss)})`,
    ),
    `  unigram loss   ${unigram_loss.toFixed(3)}   the same text, when only the frequency of tokens is known (${perplexity(unigram_loss)})`,
    `  training loss  ${train_loss.toFixed(3)}   at the last step`,
    `  ${below > 0 ? `The model is ${below.toFixed(3)} nats per token better than word counts` : "The model is not better than word counts yet"}, after ${counted(steps, "step")} and ${formatCount(tokens)} tokens.`,
  ].join("\n");
}

const perplexity = (loss: number): string => (loss > 20 ? "huge" : Math.exp(loss).toPrecision(3));

/** The bytes of each chip, compared with those of one chip without sharding. */
function held(report: TrainingReport | StepReport): string {
  const { params, optimizer, gradients } = report.bytes_per_chip;
  const whole = report.parameters * 4;
  const row = (what: string, bytes: number, unsharded: number): string[] => [
    `  ${what}`,
    formatBytes(bytes),
    formatBytes(unsharded),
    share(bytes, unsharded),
  ];
  return [
    `  ${formatCount(report.parameters)} parameters over ${counted(report.chips, "chip")}, mesh ${report.mesh}${isStepReport(report) ? "" : `, ZeRO stage ${report.zero}`}, emulated by ${counted(report.workers, "worker")}`,
    textTable(
      [{ title: "  " }, { title: "per chip", align: "right" }, { title: "the whole", align: "right" }, { title: "share", align: "right" }],
      [row("parameters", params, whole), row("optimizer state", optimizer, 2 * whole), row("gradients", gradients, whole)],
    ),
  ].join("\n");
}

function share(part: number, whole: number): string {
  if (part <= 0) return "-";
  const parts = whole / part;
  return parts <= 1 ? "all" : `1/${Math.abs(parts - Math.round(parts)) < 0.01 || parts >= 100 ? Math.round(parts) : parts.toFixed(1)}`;
}

function moved(report: TrainingReport | StepReport): string {
  if (report.collectives.length === 0) return "  nothing: this program needs no collective";
  const rows = report.collectives.map(({ op, axis, count, bytes_per_chip, why }) => [
    `  ${op}`,
    axis,
    String(count),
    formatBytes(Math.ceil(bytes_per_chip)),
    reason(why),
  ]);
  const total = report.collectives.reduce((bytes, row) => bytes + row.bytes_per_chip, 0);
  return [
    textTable(
      [
        { title: "  collective" },
        { title: "axis" },
        { title: "count", align: "right" },
        { title: "bytes per chip", align: "right" },
        { title: "why" },
      ],
      rows,
    ),
    `  total ${formatBytes(Math.ceil(total))} per chip and step`,
  ].join("\n");
}

/** The clause before the colon, which names the operation. The cause after the colon is omitted. */
const reason = (why: string): string => why.split(":", 1)[0] ?? "";

function times(report: TrainingReport | StepReport): string {
  const { total, ...parts } = report.timings_ms;
  const shown = Object.entries(parts).filter(([, ms]) => ms >= 50);
  const list = shown.map(([what, ms]) => `${what} ${formatDuration(ms)}`).join(", ");
  return `  ${formatDuration(total)} in total${list === "" ? "" : `: ${list}`}; ${formatCount(Math.round(report.tokens_per_s))} tokens/s while training`;
}
