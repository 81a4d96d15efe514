import { escapeHtml, htmlDocument, htmlFacts, htmlTable } from "@lapidary/simulator";
import { formatBytes } from "@lapidary/std";
import type { TpuReport } from "@lapidary/tpu-compiler";

type Cells = readonly string[];

const size = (bytes: number | null): string => (bytes === null ? "-" : formatBytes(Math.round(bytes)));
const ratio = (ours: number | null, theirs: number): string => (ours === null || theirs === 0 ? "-" : (ours / theirs).toFixed(2));
const verdict = (fits: boolean): string => (fits ? "fits" : "does not fit");

/**
 * A compiled step next to our plan, as one HTML file without scripts and links.
 *
 * @param planFits whether the step fits by the plan
 */
export function compileHtml(report: TpuReport, planFits: boolean): string {
  const { hbm_bytes: hbm, cycles, collectives } = report;
  const total = (side: "xla" | "plan"): number => cycles.reduce((sum, row) => sum + row[side], 0);
  const memory: Cells[] = [
    ["arguments", size(hbm.arguments), "", ""],
    ["outputs", size(hbm.outputs), "", ""],
    ["temporary", size(hbm.temporary), "", ""],
    ["peak", size(hbm.peak), size(report.plan_hbm_bytes_peak), ratio(report.plan_hbm_bytes_peak, hbm.peak)],
    ["", verdict(report.fits), verdict(planFits), ""],
  ];
  return htmlDocument(
    `${report.job}: compiled for ${report.topology}`,
    `<h1>${escapeHtml(report.job)}</h1>
<p>${report.slices} × ${escapeHtml(report.topology)}; the ${report.text === "chip" ? "per-device" : "global"} module, compiled by ${escapeHtml(report.compiler)} in ${report.compile_s.toFixed(1)} s. No TPU ran.</p>
${htmlFacts([
  ["TPU compiler", verdict(report.fits)],
  ["our plan", verdict(planFits)],
  ["peak of HBM", `${size(hbm.peak)}; ours ${size(report.plan_hbm_bytes_peak)}`],
  ...(cycles.length === 0 ? [] : [["cycles, ours / theirs", ratio(total("plan"), total("xla"))] as const]),
])}
<h2>Memory of a chip</h2>
${htmlTable(["", "TPU compiler", "our plan", "ours / theirs"], memory)}
<h2>Collectives</h2>
${
  collectives.length === 0
    ? "<p>The step has none.</p>"
    : `<p>Bytes that a chip sends in a step.</p>
${htmlTable(
  ["collective", "over", "count", "TPU compiler", "our plan", "ours / theirs"],
  collectives.map((c) => [
    c.op,
    c.axis,
    String(c.count),
    size(c.bytes_per_chip),
    size(c.plan_bytes_per_chip),
    ratio(c.plan_bytes_per_chip, c.bytes_per_chip),
  ]),
)}`
}
${
  cycles.length === 0
    ? ""
    : `<h2>Cycles of a chip in a step</h2>
<p>Without collectives. The largest are first.</p>
${htmlTable(
  ["part", "pass", "TPU compiler", "our plan", "ours / theirs"],
  [
    ...cycles.map((c) => [c.name, c.phase, c.xla.toLocaleString("en-US"), c.plan.toLocaleString("en-US"), ratio(c.plan, c.xla)]),
    ["all", "", total("xla").toLocaleString("en-US"), total("plan").toLocaleString("en-US"), ratio(total("plan"), total("xla"))],
  ],
)}`
}`,
  );
}
