import { gigabytes, type PlanReport, percent, seconds } from "@lapidary/offline/plan";
import type { ExplainedStepFile, StepFile } from "@lapidary/offline/step-file";
import { counted, formatBytes } from "@lapidary/std";
import { collectiveLines } from "./explain-text.js";
import type { Paint } from "./paint.js";
import { reportTables } from "./plan-text.js";

/** The collectives of a step that JAX exported, with causes and lines of the user's program. */
export function explainedStepText(
  { name, chips, meshText, step }: StepFile,
  { collectives, conflicts }: ExplainedStepFile,
  paint: Paint,
): string {
  const total = collectives.reduce((sum, each) => sum + each.bytes_per_chip, 0);
  const lines = collectives.flatMap((each) => collectiveLines(each, paint));
  const hasLines = step.graph.values.some(({ scope }) => scope.line !== undefined);
  return [
    `${name}: ${counted(chips, "chip")}, mesh ${meshText}, ${counted(step.graph.values.length, "value")}. Each chip sends ${formatBytes(total)} in a step:`,
    "",
    ...(lines.length === 0 ? ["nothing: this step needs no collective"] : lines),
    "",
    paint.dim(`${conflicts} claims of an axis lost to another claim`),
    ...(hasLines ? [] : [paint.dim("the text has no locations: `as_text(debug_info=True)` gives source lines and passes")]),
  ].join("\n");
}

/** The predicted time and memory of a step that JAX exported. */
export function plannedStepText(report: PlanReport, paint: Paint): string {
  const over = report.hbm_bytes.peak - report.hbm_limit;
  return [
    `${paint.bold(`${seconds(report.step_time_s)} a step`)} on ${counted(report.chips, `${report.chip} chip`)} (${report.pods === 1 ? "one pod" : `${report.pods} pods`}, ${report.torus} of each), mesh ${report.mesh} · MFU ${percent(report.mfu)} · bound by ${report.bound}`,
    ...reportTables(
      report,
      report.fits ? [] : ["", `${paint.red("does not fit")}: ${gigabytes(over)} too much. Take a smaller batch or more chips`],
      paint,
    ),
  ].join("\n");
}
