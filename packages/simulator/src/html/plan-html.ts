import { weightShards } from "@lapidary/compiler";
import type { Warning } from "@lapidary/std";
import type { KernelReport, PlanReport } from "../result/plan-report.js";
import { gigabytes, percent, seconds } from "../result/units.js";
import type { Simulation } from "../simulate.js";
import { htmlDocument, htmlFacts, htmlTable } from "./document.js";
import { escapeHtml } from "./svg.js";
import { middleBlock, timelineSvg } from "./timeline-svg.js";
import { torusSvg } from "./torus-svg.js";

export interface PlanTitle {
  readonly title: string;
  /** Of the whole job. */
  readonly tokens: number;
  readonly days: number;
  readonly chipHours: number;
  /** Findings of the checks of the job. */
  readonly warnings?: readonly Warning[];
}

/** A plan as one HTML file without scripts and without links to other files. */
export function planHtml(simulation: Simulation, report: PlanReport, { title, tokens, days, chipHours, warnings = [] }: PlanTitle): string {
  const block = middleBlock(simulation);
  const facts: [string, string][] = [
    ["a step", seconds(report.step_time_s)],
    ["tokens a second", Math.round(report.tokens_per_s).toLocaleString("en-US")],
    [
      "MFU",
      `${percent(report.mfu)} (${percent(report.mfu_causal)} causal), ${report.calibration === null ? `not calibrated for ${report.chip}` : `within ${percent(report.calibration.worst_error)} of measured runs`}`,
    ],
    ["bound by", report.bound],
    ["HBM", `${gigabytes(report.hbm_bytes.peak)} of ${gigabytes(report.hbm_limit)}${report.fits ? "" : ": does not fit"}`],
    [`${(tokens / 1e9).toFixed(2)} billion tokens`, `${days.toFixed(2)} days, ${Math.round(chipHours).toLocaleString("en-US")} chip-hours`],
  ];
  return htmlDocument(
    `${title}: plan`,
    `<h1>${escapeHtml(title)}</h1>
<p>${report.chips} ${escapeHtml(report.chip)} chips, ${report.pods === 1 ? "one pod" : `${report.pods} pods`} of ${report.torus}; mesh ${escapeHtml(report.mesh)}. Predicted by the simulator from the compiled program.</p>
${warnings.map(warningHtml).join("\n")}
${htmlFacts(facts)}
<h2>Torus</h2>
<p>A cell is a chip, shaded by its coordinate on the first mesh axis inside a pod. The width of a link is the share of the step in which it moves data.</p>
${torusSvg(simulation)}
<h2>Step</h2>
<p class="legend"><i class="k forward"></i>forward <i class="k recompute"></i>recomputed <i class="k backward"></i>backward <i class="k update"></i>update <i class="wait"></i>waits <i class="t all_gather"></i>all_gather <i class="t reduce_scatter"></i>reduce_scatter <i class="t all_reduce"></i>all_reduce</p>
${timelineSvg(simulation, "timeline of the step")}
${block === undefined ? "" : `<h3>One block, forward</h3>${timelineSvg(simulation, "timeline of one block, forward", ...block.forward)}<h3>The same block, backward</h3>${timelineSvg(simulation, "timeline of one block, backward", ...block.backward)}`}
<h2>Where the time goes</h2>
${htmlTable(["", "time", "share"], timeRows(report))}
<h2>Memory of a chip</h2>
${htmlTable(["class", "peak"], [...(["params", "optimizer", "gradients", "activations", "temporary"] as const).map((kind) => [kind, gigabytes(report.hbm_bytes[kind])]), ["peak of the sum", gigabytes(report.hbm_bytes.peak)], ["limit", gigabytes(report.hbm_limit)]])}
<h2>Kernels</h2>
<p>Kernels of all layers are added. The most expensive are first.</p>
${htmlTable(
  ["kernel", "pass", "count", "time", "share", "limit"],
  report.kernels.slice(0, 30).map((kernel) => kernelRow(kernel, report)),
)}
<h2>Collectives</h2>
${htmlTable(
  ["collective", "over", "count", "a chip sends", "in flight", "waited for", "why"],
  report.collectives.map((c) => [
    c.op,
    c.axis,
    String(c.count),
    gigabytes(c.sent_bytes_per_chip),
    seconds(c.time_s),
    seconds(c.exposed_s),
    c.why,
  ]),
)}
<h2>Shards</h2>
${htmlTable(["tensor", "dims", "split over", "of a chip"], shardRows(simulation))}`,
  );
}

const warningHtml = ({ code, message, remedy }: Warning): string =>
  `<p class="warning" role="note"><strong>${escapeHtml(code)}</strong> ${escapeHtml(message)}. ${escapeHtml(remedy)}.</p>`;

function timeRows(report: PlanReport): string[][] {
  const row = (what: string, time: number): string[] => [what, seconds(time), percent(time / report.step_time_s)];
  return [
    row("compute", report.compute_s),
    row("of it lost to concurrent transfers", report.overlap_loss_s),
    row("of it the optimizer", report.optimizer_s),
    ...Object.entries(report.exposed_s).map(([axis, time]) => row(`waiting for collectives over ${axis}`, time)),
    row("of it on the network between pods", report.dcn_s),
    row("waiting for host memory", report.host_s),
    row("waiting for the slowest pod", report.pod_wait_s),
    row("step", report.step_time_s),
  ];
}

const kernelRow = (kernel: KernelReport, report: PlanReport): string[] => [
  kernel.name,
  kernel.phase,
  String(kernel.count),
  seconds(kernel.time_s),
  percent(kernel.time_s / report.step_time_s),
  kernel.limit,
];

/** Params. The params of all blocks have one row, with the sizes of the first block. */
const shardRows = ({ program: { chip, global } }: Simulation): string[][] =>
  weightShards(chip, global).map(({ name, dims, sharding, local_dims }) => [name, dims, sharding, local_dims]);
