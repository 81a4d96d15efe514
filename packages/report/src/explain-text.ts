import type { CostedValue, ExplainedProgram, ProgramDifference } from "@lapidary/offline/explain";
import type { ResolvedJob } from "@lapidary/offline/job-file";
import { seconds } from "@lapidary/offline/plan";
import { counted, formatBytes, textTable } from "@lapidary/std";
import type { Paint } from "./paint.js";
import { lossChunksText } from "./plan-text.js";

/** The collectives of a program and their causes. */
export function collectivesText(job: ResolvedJob, explained: ExplainedProgram, paint: Paint): string {
  const { lossChunks, collectives, stages, conflicts, exampleName, program, programs, contextStrategies } = explained;
  const total = collectives.reduce((sum, c) => sum + c.bytes_per_chip, 0);
  const lines = collectives.flatMap((each) => collectiveLines(each, paint));
  return [
    `${job.name}: ${counted(job.chips, "chip")}, mesh ${job.mesh.map((axis) => `${axis.name}=${axis.size}`).join(",")}, ZeRO stage ${job.zero}. Each chip sends ${formatBytes(total)} in a run of ${program}:`,
    ...(lossChunks === 1 ? [] : [lossChunksText(lossChunks)]),
    "",
    ...(lines.length === 0 ? ["nothing: this program needs no collective"] : lines),
    "",
    ...stageLines(stages, paint),
    ...contextStrategies.map((strategy) => contextText(strategy, paint)),
    paint.dim(
      `${conflicts} claims of an axis lost to another claim; \`lapidary explain JOB NAME\` lists them for a value, such as ${exampleName}`,
    ),
    paint.dim(`--program explains another program of the job: ${programs.filter((name) => name !== program).join(", ")}`),
  ].join("\n");
}

/** A collective with its cause and, for a step that JAX exported, the line of the user's program. */
export function collectiveLines(
  { op, axis, count, iterations, bytes_per_chip, share, phase, value, why, source }: ExplainedProgram["collectives"][number],
  paint: Paint,
): string[] {
  const perIteration = iterations === undefined ? "" : ` (${count / iterations} × in each of ${iterations} iterations)`;
  const cost = `${count} × in the ${phase} pass${perIteration}, ${formatBytes(bytes_per_chip)} a chip, ${(100 * share).toFixed(1)} %`;
  return [
    `${paint.bold(`${paint.yellow(op)} over ${paint.cyan(axis)}`)}  ${value}  ${paint.dim(cost)}`,
    `    ${why}${source === undefined ? "" : `  (${source})`}`,
  ];
}

/** What the stages of a pipeline wait for: one line for each stage and part of a tick. */
function stageLines(stages: ExplainedProgram["stages"], paint: Paint): string[] {
  if (stages.length === 0) return [];
  const lines = stages.map(({ stage, part, ticks, idle, waits_for: from, collective }) => {
    const source = from === null ? "all stages" : `stage ${from}`;
    const wait =
      collective === null
        ? "waits for no other stage"
        : `waits for ${source} (${collective.op} ${collective.value}, ${formatBytes(collective.bytes_per_chip)} a chip and tick)`;
    return `${paint.cyan(`stage ${stage}`)} ${part}: idle in ${idle} of ${ticks} ticks, ${wait}`;
  });
  return [...lines, ""];
}

const contextText = (
  { strategy, chosen, step_bytes_per_chip: bytes, step_time_s: time }: ExplainedProgram["contextStrategies"][number],
  paint: Paint,
): string => {
  const cost =
    bytes === null
      ? "not possible for this job"
      : `each chip sends ${formatBytes(bytes)} in a step${time === null ? "" : ` of ${seconds(time)} (predicted)`}`;
  return `context.strategy: ${strategy}${chosen ? paint.green(" (this job)") : ""}: ${cost}`;
};

/** The layout of one value, the decisions that led to it, and the alternatives. */
export function valueText(value: CostedValue, paint: Paint): string {
  const dims = value.dims.map((dim, d) => [
    `  ${d}`,
    String(dim.size),
    dim.logical_axis ?? "-",
    dim.axes.join("+") || "whole",
    dim.decided_by.join(" ← "),
  ]);
  const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ["", paint.bold(title), ...lines]);
  return [
    `${paint.bold(value.name)}  ${value.type}  ${paint.cyan(value.sharding)}  ${formatBytes(value.bytes_per_chip)} a chip`,
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
        `  ${paint.yellow(v.op)} ${v.type} ${paint.cyan(v.sharding)}${v.bytes_moved_per_chip > 0 ? `  ${formatBytes(v.bytes_moved_per_chip)} a chip` : ""}`,
        ...(v.why === "" ? [] : [paint.dim(`      ${v.why}`)]),
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
            a.chosen ? paint.green("chosen") : "",
          ]),
        ),
      ].slice(0, value.alternatives.length),
    ),
  ].join("\n");
}

/** How the collectives and shardings of two jobs differ. */
export function differenceText({ shardings, collectives }: ProgramDifference, a: string, b: string, paint: Paint): string {
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
    shardings.length === 0 ? paint.green("All shardings are equal.") : paint.bold(`${shardings.length} shardings differ`),
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

/** A program as `explain --stage` prints it: collectives and shardings in colour, scopes dim. */
export const programText = (text: string, paint: Paint): string =>
  text
    .split("\n")
    .map((line) => {
      const [, result = "", op = "", rest = "", scope = ""] = /^(\s*%\S+ = )(\S+)(.*?)( @\S+)?$/.exec(line) ?? [];
      if (op === "") return line;
      const isCollective = /^(all_|reduce_scatter|collective_)/.test(op);
      return `${paint.dim(result)}${isCollective ? paint.yellow(op) : paint.bold(op)}${rest.replace(/\[[^[\]]*\](?=[^[]*$)/, paint.cyan)}${paint.dim(scope)}`;
    })
    .join("\n");
