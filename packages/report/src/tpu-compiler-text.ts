import type { CompiledStep, TpuReport } from "@lapidary/offline/compile";
import { formatBytes, textTable } from "@lapidary/std";
import type { Paint } from "./paint.js";

const shownRows = 20;
const right = (title: string): { title: string; align: "right" } => ({ title, align: "right" });
const size = (count: number | null): string => (count === null ? "-" : formatBytes(Math.round(count)));

/** `lapidary compile` as tables. */
export function tpuCompilerText(step: CompiledStep, paint: Paint): string {
  const { report } = step;
  const sections: readonly [string, string][] = [
    ["HBM of a chip", hbmTable(step, paint)],
    ...(report.fits ? [] : [["", doesNotFitText(step)] as [string, string]]),
    ...(report.collectives.length === 0
      ? []
      : [
          ["Collectives: what a chip sends in a step", collectiveTable(report)] as [string, string],
          ["", differencesText(report)] as [string, string],
        ]),
    ...(report.cycles.length === 0 ? [] : [["Cycles of a chip in a step, collectives left out", cycleTable(report)] as [string, string]]),
  ];
  return [
    heading(step, paint),
    ...sections.filter(([, text]) => text !== "").flatMap(([title, text]) => ["", ...(title === "" ? [] : [paint.bold(title)]), text]),
  ].join("\n");
}

function heading({ report }: CompiledStep, paint: Paint): string {
  const form = report.text === "chip" ? "per-device module" : "global module";
  return `${paint.bold(`${report.job} for ${report.slices} × ${report.topology}`)}, compiled by ${report.compiler} in ${report.compile_s.toFixed(1)} s, ${form}`;
}

function hbmTable({ report, planFits }: CompiledStep, paint: Paint): string {
  const fitText = (fits: boolean): string => (fits ? paint.green("fits") : paint.red("does not fit"));
  const { hbm_bytes: hbm } = report;
  return textTable(
    [{ title: "" }, right("TPU compiler"), right("our plan")],
    [
      ["  arguments", size(hbm.arguments), ""],
      ["  outputs", size(hbm.outputs), ""],
      ["  temporary", size(hbm.temporary), ""],
      ["  peak", size(hbm.peak), size(report.plan_hbm_bytes_peak)],
      ["  ", fitText(report.fits), fitText(planFits)],
    ],
  );
}

const collectiveTable = ({ collectives }: TpuReport): string =>
  textTable(
    [{ title: "  collective" }, { title: "axis" }, right("count"), right("TPU compiler"), right("our plan")],
    collectives.map((c) => [`  ${c.op}`, c.axis, String(c.count), size(c.bytes_per_chip), size(c.plan_bytes_per_chip)]),
  );

/** Collectives that only one side has. */
function differencesText({ collectives }: TpuReport): string {
  const listed = (rows: TpuReport["collectives"], bytes: (row: TpuReport["collectives"][number]) => number): string =>
    rows.map((row) => `${row.op} over ${row.axis} (${size(bytes(row))})`).join(", ");
  const theirs = collectives.filter((row) => row.plan_bytes_per_chip === 0 && row.count > 0);
  const ours = collectives.filter((row) => row.count === 0 && row.plan_bytes_per_chip > 0);
  return [
    ...(theirs.length === 0 ? [] : [`  only the TPU compiler: ${listed(theirs, (row) => row.bytes_per_chip)}`]),
    ...(ours.length === 0 ? [] : [`  only our plan: ${listed(ours, (row) => row.plan_bytes_per_chip)}`]),
  ].join("\n");
}

function cycleTable({ cycles }: TpuReport): string {
  const total = (side: "xla" | "plan"): number => cycles.reduce((sum, row) => sum + row[side], 0);
  const share = (a: number, b: number): string => (b === 0 ? "-" : (a / b).toFixed(2));
  return textTable(
    [{ title: "  part" }, { title: "pass" }, right("TPU compiler"), right("our plan"), right("ours / theirs")],
    [
      ...cycles.slice(0, shownRows).map((c) => [`  ${c.name}`, c.phase, String(c.xla), String(c.plan), share(c.plan, c.xla)]),
      ["  all", "", String(total("xla")), String(total("plan")), share(total("plan"), total("xla"))],
    ],
  );
}

const shownBuffers = 5;

/** The text for a program that does not fit by the word of the compiler: what it needs, its largest values, and what to change. */
export function doesNotFitText({ report: { hbm_bytes, chip }, short, planFits }: CompiledStep): string {
  const limit = short === undefined ? "which is more than it has" : `which has ${formatBytes(short.limit)}`;
  const plan = planFits ? "; our plan says that it fits, and is too low here" : "";
  const largest = (short?.buffers ?? [])
    .slice(0, shownBuffers)
    .map(({ name, shape, bytes }) => `    ${name || "unnamed"}  ${shape}  ${formatBytes(bytes)}`);
  return [
    `the TPU compiler needs ${formatBytes(hbm_bytes.peak)} on a ${chip} chip, ${limit}${plan}. Try \`lapidary plan JOB --search\`, a smaller train.batch, or remat: full`,
    ...(largest.length === 0 ? [] : ["  its largest values:", ...largest]),
  ].join("\n");
}
