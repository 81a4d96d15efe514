import {
  isComparison,
  isDataReport,
  isStepReport,
  type ComparisonReport,
  type JobSummary,
  type PipelineDetail,
  type Report,
} from "@lapidary/api";
import { textTable } from "@lapidary/std";

/** The state of a job in a table. A job of a pipeline may wait for other runs. */
export const stateText = ({ state, waiting_for }: Pick<JobSummary, "state" | "waiting_for">): string =>
  waiting_for === undefined ? state : `waiting for ${waiting_for.join(", ")}`;

/** The result of a job in one line. */
export function resultText(report: Report): string {
  if (isDataReport(report)) return `${report.documents} documents, dataset ${report.out}`;
  if (isStepReport(report)) return `loss ${report.train_loss.toFixed(3)}, checkpoint ${report.checkpoint}`;
  if (!isComparison(report)) return `held-out loss ${report.heldout_loss.toFixed(3)}, checkpoint ${report.checkpoint}`;
  const rates = report.comparison.sets.flatMap(({ result }) => (result === null ? [] : [`win rate ${result.rate.toFixed(3)}`]));
  return [...rates, `report ${report.answers.replace("answers.jsonl", "comparison.txt")}`].join(", ");
}

/** A job of a pipeline that compared two models. */
export interface ComparisonRow {
  readonly name: string;
  readonly report: ComparisonReport;
}

/** The comparisons of a pipeline as a table, one row for each file of prompts. */
function comparisonTable(comparisons: readonly ComparisonRow[]): string {
  const digits = (value: number | undefined): string => value?.toFixed(3) ?? "";
  const rows = comparisons.flatMap(({ name, report: { comparison } }) =>
    comparison.sets.map(({ result, divergence, optimum }) => [
      name,
      comparison.candidate.run ?? comparison.candidate.name,
      comparison.baseline.run ?? comparison.baseline.name,
      digits(result?.rate),
      result === null ? "" : result.normal95.map(digits).join(" – "),
      digits(result?.scores?.candidate),
      digits(result?.scores?.baseline),
      digits(optimum?.accuracy),
      digits(divergence?.nats_per_answer),
      digits(optimum?.kl),
    ]),
  );
  const numbers = ["win rate", "95 %", "score", "of baseline", "best score", "KL", "best KL"].map((title) => ({
    title,
    align: "right" as const,
  }));
  return textTable([{ title: "comparison" }, { title: "candidate" }, { title: "baseline" }, ...numbers], rows);
}

/** A pipeline and its jobs as a table, and the results of its comparisons. */
export function pipelineText({ id, state, jobs }: PipelineDetail, comparisons: readonly ComparisonRow[] = []): string {
  const rows = jobs.map(({ name, run, needs, summary }) => [
    name,
    run,
    summary === undefined ? "removed" : stateText(summary),
    needs.join(", "),
    summary === undefined ? "" : `${summary.step}/${summary.steps}`,
    summary?.loss?.toFixed(3) ?? "",
  ]);
  const table = textTable(
    [
      { title: "job" },
      { title: "run" },
      { title: "state" },
      { title: "needs" },
      { title: "step", align: "right" },
      { title: "loss", align: "right" },
    ],
    rows,
  );
  return `pipeline ${id}: ${state}\n${table}${comparisons.length === 0 ? "" : `\n\n${comparisonTable(comparisons)}`}`;
}
