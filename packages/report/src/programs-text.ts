import { gigabytes, percent, type ProgramPlan, type ProgramsPlan, seconds, type VariantPlan } from "@lapidary/offline/plan";
import { counted, formatBytes, formatCount, textTable } from "@lapidary/std";
import type { Paint } from "./paint.js";
import { calibrationNote, fitLines, type FitText } from "./plan-text.js";

const right = (title: string): { title: string; align: "right" } => ({ title, align: "right" });

/** The tables of `lapidary plan` for a step with several programs. */
export function programsText({ report, budget }: ProgramsPlan, fit: FitText, paint: Paint): string {
  const { phases_s, programs, variants, hbm_bytes } = report;
  return [
    `${paint.bold(`${seconds(report.step_time_s)} a step`)} on ${counted(report.chips, `${report.chip} chip`)} (${report.pods === 1 ? "one pod" : `${report.pods} pods`}, ${report.torus} of each), mesh ${report.mesh}`,
    `${formatCount(report.parameters)} parameters · ${formatCount(report.tokens_per_step)} tokens a step · ${formatCount(Math.round(report.tokens_per_s))} tokens/s · MFU ${percent(report.mfu)}${calibrationNote(report)}`,
    `the job's steps take ${budget.days < 1 ? seconds(budget.days * 86_400) : `${budget.days.toFixed(1)} days`}, ${formatCount(Math.round(budget.chip_hours))} chip-hours, if every completion has all its tokens`,
    "",
    paint.bold("Where the time goes"),
    ...Object.entries(phases_s).flatMap(([phase, time]) =>
      time === 0 ? [] : [`  ${phase.padEnd(10)}${seconds(time).padStart(9)}  ${percent(time / report.step_time_s).padStart(6)}`],
    ),
    "",
    paint.bold(`Programs of a step (HBM of a chip, limit ${gigabytes(report.hbm_limit)})`),
    textTable(
      [
        { title: "  program" },
        right("runs"),
        right("a run"),
        right("a step"),
        right("share"),
        right("a chip sends"),
        right("FLOPs"),
        { title: "bound by" },
        right("HBM peak"),
      ], // prettier-ignore
      programs.map((program) => programRow(program, report.step_time_s)),
    ),
    `  peak of all: ${gigabytes(hbm_bytes.peak)} ${report.fits ? paint.green("fits") : paint.red("does not fit")}`,
    ...(report.fits ? [] : fitLines(report, fit, paint)),
    "",
    paint.bold("Arrays that pass from program to program, on a chip"),
    ...Object.entries(hbm_bytes.sets).map(([set, bytes]) => `  ${set.padEnd(20)}${formatBytes(bytes).padStart(10)}`),
    ...(variants.length === 0 ? [] : ["", paint.bold("Variants of the programs"), variantTable(variants)]),
    paint.dim("`lapidary plan JOB --program NAME` shows a program in detail, `lapidary explain JOB --program NAME` its collectives"),
  ].join("\n");
}

function programRow({ name, runs, time_s, flops, bound, hbm_bytes, collectives }: ProgramPlan, step: number): string[] {
  const sent = new Map<string, number>();
  for (const { axis, sent_bytes_per_chip } of collectives) sent.set(axis, (sent.get(axis) ?? 0) + sent_bytes_per_chip);
  const bytes = [...sent].map(([axis, sum]) => `${formatBytes(Math.round(sum))} ${axis}`).join(", ");
  const share = percent((runs * time_s) / step);
  return [
    `  ${name}`,
    String(runs),
    seconds(time_s),
    seconds(runs * time_s),
    share,
    bytes,
    flops.toPrecision(3),
    bound,
    gigabytes(hbm_bytes.peak),
  ];
}

const variantTable = (variants: readonly VariantPlan[]): string =>
  textTable(
    [{ title: "  override" }, right("prefill"), right("decode"), right("a step"), right("HBM peak"), { title: "" }],
    variants.map(({ name, phases_s, step_time_s, hbm_bytes_peak, fits, is_chosen, is_recommended }) => [
      `  ${name}`,
      seconds(phases_s.prefill),
      seconds(phases_s.decode),
      seconds(step_time_s),
      gigabytes(hbm_bytes_peak),
      [...(fits ? [] : ["does not fit"]), ...(is_chosen ? ["chosen"] : []), ...(is_recommended ? ["recommended"] : [])].join(", "),
    ]),
  );
