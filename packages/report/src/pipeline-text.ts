import type { JobSummary, PipelineDetail } from "@lapidary/api";
import { textTable } from "@lapidary/std";

/** The state of a job in a table. A job of a pipeline may wait for other runs. */
export const stateText = ({ state, waiting_for }: Pick<JobSummary, "state" | "waiting_for">): string =>
  waiting_for === undefined ? state : `waiting for ${waiting_for.join(", ")}`;

/** A pipeline and its jobs as a table. */
export function pipelineText({ id, state, jobs }: PipelineDetail): string {
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
  return `pipeline ${id}: ${state}\n${table}`;
}
