import {
  type Alternative,
  type Program,
  type ProgramDifference,
  type StageName,
  diffPrograms,
  costsOfAlternatives,
  explainCollectives,
  type ExplainedValue,
  explainValue,
  printSchedule,
} from "@lapidary/compiler";
import { type Graph, printGraph } from "@lapidary/ir";
import { ExitCode, LapidaryError, type Warning, formatBytes, must, suggest, textTable, counted } from "@lapidary/std";
import { parseTorus } from "@lapidary/topology";
import { compileJob, compileOptions, jobWarnings, type ResolvedJob } from "@lapidary/training";
import type { Context } from "../context.js";
import type { Paint } from "../terminal/paint.js";
import { readJob } from "./job-file.js";

/** Stages whose text `--stage` prints, in order. */
export const printedStages = ["trace", "rematerialize", "propagate", "partition", "optimize", "schedule"] as const;

export interface ExplainRequest {
  readonly job: string;
  /** `key=value` overrides, and at most one name of a value. */
  readonly words: readonly string[];
  readonly stage: string | undefined;
  readonly diff: string | undefined;
  readonly compare: string | undefined;
}

/**
 * `lapidary explain JOB [NAME]`: why the program is as it is. Without a name, its collectives and their causes; with one, that value: layout, who
 * decided, what else was possible. `--stage` prints the program after a stage, `--diff` sets two jobs side by side.
 */
export async function explain(context: Context, request: ExplainRequest): Promise<ExitCode> {
  const { console } = context;
  const overrides = request.words.filter((word) => word.includes("="));
  const names = request.words.filter((word) => !word.includes("="));
  if (names.length > 1) throw usage(`${names.length} names were given: ${names.join(", ")}`, "explain one value at a time");
  const job = readJob(context, request.job, overrides);
  const warnings = jobWarnings(job);
  for (const warning of warnings) console.warn(warning);
  if (request.stage !== undefined) return printStage(context, job, request.stage, warnings);
  if (request.compare === "shardy" || request.compare === "xla")
    return (await import("./compare.js")).compareJob(context, job, request.compare);
  const program = compileJob(job);
  if (request.diff !== undefined) {
    // The overrides belong to the job they stand behind.
    const other = compileJob(readJob(context, request.diff, []));
    const difference = diffPrograms(program, other);
    console.result({ a: request.job, b: request.diff, ...difference, warnings }, () =>
      differenceText(difference, request.job, must(request.diff, "other job"), console.paint),
    );
    return ExitCode.done;
  }
  const [name] = names;
  if (name !== undefined) {
    const explained = explainValue(program, name, parseTorus(job.slice).dims);
    console.detail(`compile with ${explained.alternatives.length - 1} other shardings of ${explained.name}`);
    const costs = costsOfAlternatives(program, compileOptions(job, program.global), name);
    const value = {
      ...explained,
      alternatives: explained.alternatives.map((a) => ({ ...a, step_bytes_per_chip: costs.get(a.sharding) ?? null })),
      warnings,
    };
    console.result(value, () => valueText(value, console.paint));
    return ExitCode.done;
  }
  const collectives = explainCollectives(program);
  console.result(
    { job: job.name, chips: job.chips, mesh: Object.fromEntries(job.mesh.map((axis) => [axis.name, axis.size])), collectives, warnings },
    () => collectivesText(program, job, collectives, console.paint),
  );
  return ExitCode.done;
}

function usage(message: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_CLI_ARGUMENT", message, place: "lapidary explain", remedy });
}

function printStage({ console }: Context, job: ResolvedJob, stage: string, warnings: readonly Warning[]): ExitCode {
  if (!(printedStages as readonly string[]).includes(stage)) {
    const near = suggest(stage, printedStages);
    throw usage(`there is no stage "${stage}"`, near === undefined ? `stages are ${printedStages.join(", ")}` : `did you mean "${near}"?`);
  }
  const graphs = new Map<StageName, Graph>();
  const program = compileJob(job, { report: (name, graph) => graphs.set(name, graph) });
  const text =
    stage === "schedule" ? printSchedule(program.chip, program.schedule) : printGraph(must(graphs.get(stage as StageName), stage));
  console.result({ stage, text, warnings }, () => text);
  return ExitCode.done;
}

function collectivesText(program: Program, job: ResolvedJob, collectives: ReturnType<typeof explainCollectives>, paint: Paint): string {
  const total = collectives.reduce((sum, c) => sum + c.bytes_per_chip, 0);
  const lines = collectives.flatMap(({ op, axis, count, bytes_per_chip, share, phase, value, why }) => [
    `${paint.bold(`${op} over ${axis}`)}  ${value}  ${paint.dim(`${count} × in the ${phase} pass, ${formatBytes(bytes_per_chip)} a chip, ${(100 * share).toFixed(1)} %`)}`,
    `    ${why}`,
  ]);
  return [
    `${job.name}: ${counted(job.chips, "chip")}, mesh ${job.mesh.map((axis) => `${axis.name}=${axis.size}`).join(",")}, ZeRO stage ${job.zero}. Each chip sends ${formatBytes(total)} in a step:`,
    "",
    ...(lines.length === 0 ? ["nothing: this program needs no collective"] : lines),
    "",
    paint.dim(
      `${program.propagated.conflicts.length} claims of an axis lost to another; \`lapidary explain JOB NAME\` tells them for a value, such as ${exampleName(program)}`,
    ),
  ].join("\n");
}

const exampleName = (program: Program): string =>
  program.global.values.find((v) => v.op === "parameter" && v.role === "param" && v.type.dims.length > 1)?.name ?? "loss";

/** Bytes that a chip sends in a step with this alternative; null where no program has it. */
type CostedValue = Omit<ExplainedValue, "alternatives"> & {
  readonly alternatives: readonly (Alternative & { readonly step_bytes_per_chip: number | null })[];
};

function valueText(value: CostedValue, paint: Paint): string {
  const dims = value.dims.map((dim, d) => [
    `  ${d}`,
    String(dim.size),
    dim.logical_axis ?? "-",
    dim.axes.join("+") || "whole",
    dim.decided_by.join(" ← "),
  ]);
  const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ["", paint.bold(title), ...lines]);
  return [
    `${paint.bold(value.name)}  ${value.type}  ${value.sharding}  ${formatBytes(value.bytes_per_chip)} a chip`,
    ...section(
      "Dims",
      value.dims.length === 0
        ? []
        : [
            textTable(
              [{ title: "  dim" }, { title: "size", align: "right" }, { title: "means" }, { title: "split over" }, { title: "decided by" }],
              dims,
            ),
          ],
    ),
    ...section("Which shard each chip of a pod holds", [value.layout]),
    ...section(
      "In the program of a chip",
      value.versions.flatMap((v) => [
        `  ${v.op} ${v.type} ${v.sharding}${v.bytes_moved_per_chip > 0 ? `  ${formatBytes(v.bytes_moved_per_chip)} a chip` : ""}`,
        ...(v.why === "" ? [] : [`      ${v.why}`]),
      ]),
    ),
    ...section(
      "Claims that lost",
      value.conflicts.map((text) => `  ${text}`),
    ),
    ...section(
      "What else was possible",
      [
        textTable(
          [
            { title: "  sharding" },
            { title: "a chip holds", align: "right" },
            { title: "one gather moves", align: "right" },
            { title: "a chip sends in a step", align: "right" },
            { title: "" },
          ],
          value.alternatives.map((a) => [
            `  ${a.sharding}`,
            formatBytes(a.bytes_per_chip),
            formatBytes(a.gather_bytes_per_chip),
            a.step_bytes_per_chip === null ? "not possible" : formatBytes(a.step_bytes_per_chip),
            a.chosen ? "chosen" : "",
          ]),
        ),
      ].slice(0, value.alternatives.length),
    ),
  ].join("\n");
}

function differenceText({ shardings, collectives }: ProgramDifference, a: string, b: string, paint: Paint): string {
  return [
    paint.bold(`Collectives of A (${a}) and B (${b})`),
    textTable(
      [
        { title: "op" },
        { title: "axis" },
        { title: "A", align: "right" },
        { title: "B", align: "right" },
        { title: "bytes per chip A", align: "right" },
        { title: "B", align: "right" },
      ],
      collectives.map((c) => [c.op, c.axis, String(c.count_a), String(c.count_b), formatBytes(c.bytes_a), formatBytes(c.bytes_b)]),
    ),
    "",
    shardings.length === 0 ? "All shardings are equal." : paint.bold(`${shardings.length} shardings differ`),
    ...(shardings.length === 0
      ? []
      : [
          textTable(
            [{ title: "value" }, { title: "A" }, { title: "B" }],
            shardings.map((s) => [s.name, s.a, s.b]),
          ),
        ]),
  ].join("\n");
}
