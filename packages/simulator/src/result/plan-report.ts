import { exportedMemoryError } from "../exported/exported-memory.js";
import { ensure } from "@lapidary/std";
import { chipCount, printMesh, printTorus } from "@lapidary/topology";
import { blocksOf, withoutBlocks } from "@lapidary/ir";
import { type MemoryClass, shardTable, summarizeCollectives } from "@lapidary/compiler";
import type { AttentionForm } from "../cost/attention.js";
import { type Simulation, coreSeconds, utilisation } from "../simulate.js";
import { usableHbm } from "../chip/chip-spec.js";
import { criticalPath } from "./critical-path.js";
import { exposureOf } from "./exposure.js";
import { bubbleOf } from "./bubble.js";

/** The output of `lapidary plan --json`: stable fields, in seconds and bytes. */
export interface PlanReport {
  readonly chip: string;
  readonly chips: number;
  readonly pods: number;
  readonly torus: string;
  readonly mesh: string;
  readonly parameters: number;
  /** Parameters that a token uses: of the experts of a mixture only the chosen ones. */
  readonly active_parameters: number;
  readonly tokens_per_step: number;
  readonly step_time_s: number;
  readonly tokens_per_s: number;
  /**
   * Model flops utilisation, 0 to 1: 6 flops for each active parameter and token, and attention. `mfu` counts all scores, in layers with a
   * window those of the window. `mfu_causal` counts only the scores that the causal mask leaves.
   */
  readonly mfu: number;
  readonly mfu_causal: number;
  /** `model`: the flops are those of the configuration of the model. `program`: those of the matmuls of the program. */
  readonly mfu_rule: "model" | "program";
  /** How attention is timed, and how its memory is counted. */
  readonly attention: AttentionForm;
  /** Published runs of this chip with which predictions were compared; null if there are none, so that times have an unknown error. */
  readonly calibration: { readonly runs: string; readonly worst_error: number } | null;
  /** The resource with the largest part of the critical path: compute (the matrix units), vector, hbm, ici, dcn, host. */
  readonly bound: string;
  /** Highest live bytes of each class on a chip. `peak` is the highest sum; it is less than the sum of the peaks if these are at different times. */
  readonly hbm_bytes: Readonly<Record<MemoryClass | "peak", number>>;
  readonly hbm_limit: number;
  /** Largest error of the peak in compiled jobs, as a share; null with flash attention, for which no compiled job exists. */
  readonly hbm_error: number | null;
  readonly fits: boolean;
  /** step_time_s = compute_s + Σ exposed_s + host_s + pod_wait_s. */
  readonly compute_s: number;
  /** Part of compute_s: the time that kernels lose to concurrent transfers. */
  readonly overlap_loss_s: number;
  /** Part of compute_s: the optimizer. */
  readonly optimizer_s: number;
  /** Part of the step: ticks of a pipeline in which a stage has no microbatch. */
  readonly bubble_s: number;
  /** The same for each stage, whose mean is bubble_s; empty without stages. */
  readonly idle_s_by_stage: readonly number[];
  /** Share of the bf16 peak that the matmuls of ticks reach while they run: small microbatches fill the arrays less. Null without stages. */
  readonly tick_matmul_efficiency: number | null;
  /** Time in which the core waits for a collective, by mesh axis. */
  readonly exposed_s: Readonly<Record<string, number>>;
  /** Part of exposed_s: on the network between pods. */
  readonly dcn_s: number;
  readonly host_s: number;
  readonly pod_wait_s: number;
  readonly collectives: readonly CollectiveReport[];
  readonly kernels: readonly KernelReport[];
  readonly critical_path: readonly { readonly on: string; readonly time_s: number; readonly share: number }[];
  readonly shards: ReturnType<typeof shardTable>;
}

interface CollectiveReport {
  readonly op: string;
  readonly axis: string;
  readonly count: number;
  /** Bytes with the types of the program (f32). */
  readonly bytes_per_chip: number;
  /** Bytes with the types in which the chip sends them. */
  readonly sent_bytes_per_chip: number;
  /** Sum of the times that they are in flight. */
  readonly time_s: number;
  readonly exposed_s: number;
  readonly why: string;
}

/** Kernels of one kind, name and pass, of all layers. */
export interface KernelReport {
  readonly name: string;
  readonly phase: string;
  readonly kind: string;
  readonly count: number;
  readonly time_s: number;
  readonly flops: number;
  readonly hbm_bytes: number;
  readonly limit: string;
}

function tickMatmulEfficiency({ machine, timeline }: Simulation): number | null {
  const matmuls = timeline.kernels.filter(({ kernel: { scope, flops } }) => scope.region?.idle !== undefined && flops > 0);
  const seconds = matmuls.reduce((sum, { kernel }) => sum + kernel.seconds, 0);
  return seconds === 0 ? null : matmuls.reduce((sum, { kernel }) => sum + kernel.flops, 0) / (seconds * machine.chip.matrix.bf16_flops);
}

export function planReport(simulation: Simulation): PlanReport {
  const { machine, program, timeline, list, memory, flops, stepSeconds } = simulation;
  const exposure = exposureOf(timeline, list, simulation.placement);
  const path = pathShares(simulation);
  const kernelSeconds = timeline.kernels.reduce((sum, { kernel }) => sum + kernel.seconds, 0);
  const compute = coreSeconds(timeline);
  const bubble = bubbleOf(timeline);
  return {
    chip: machine.chip.name,
    chips: chipCount(machine.torus) * machine.pods,
    pods: machine.pods,
    torus: printTorus(machine.torus),
    mesh: printMesh(program.mesh),
    parameters: flops.parameters,
    active_parameters: flops.activeParameters,
    tokens_per_step: flops.tokens,
    step_time_s: stepSeconds,
    tokens_per_s: flops.tokens / stepSeconds,
    mfu: utilisation(simulation, flops.weights + flops.attention),
    mfu_causal: utilisation(simulation, flops.weights + flops.causalAttention),
    mfu_rule: flops.rule,
    attention: simulation.attention,
    calibration: machine.chip.calibration ?? null,
    bound: boundOf(path),
    hbm_bytes: { ...memory.peakByClass, peak: memory.peakBytes },
    hbm_limit: usableHbm(machine.chip),
    // Measured for jobs, whose text Lapidary writes.
    hbm_error: simulation.attention === "plain" && simulation.sentType === "compute" ? exportedMemoryError : null,
    fits: memory.peakBytes <= usableHbm(machine.chip),
    compute_s: compute,
    overlap_loss_s: Math.max(0, compute - kernelSeconds),
    optimizer_s: timeline.kernels.reduce((sum, { kernel, from, to }) => sum + (kernel.scope.phase === "update" ? to - from : 0), 0),
    bubble_s: bubble.seconds,
    idle_s_by_stage: bubble.byStage,
    tick_matmul_efficiency: tickMatmulEfficiency(simulation),
    exposed_s: Object.fromEntries(exposure.byAxis),
    dcn_s: exposure.dcn,
    host_s: exposure.host,
    pod_wait_s: simulation.stragglerDelaySeconds,
    collectives: collectiveReports(simulation, exposure.byTransfer),
    kernels: kernelReports(simulation),
    critical_path: path,
    shards: shardTable(program.chip, program.global),
  };
}

function pathShares({ timeline, list }: Simulation): { on: string; time_s: number; share: number }[] {
  const sums = new Map<string, number>();
  for (const { on, from, to } of criticalPath(timeline, list)) sums.set(on, (sums.get(on) ?? 0) + to - from);
  return [...sums].sort((a, b) => b[1] - a[1]).map(([on, time]) => ({ on, time_s: time, share: time / timeline.seconds }));
}

/** The resource with the largest part of the path. The links of all dims are one resource. */
function boundOf(path: readonly { readonly on: string; readonly time_s: number }[]): string {
  const sums = new Map<string, number>();
  const nameOf = (on: string): string => (on === "matrix" ? "compute" : on.startsWith("ici") ? "ici" : on.endsWith("_host") ? "host" : on);
  for (const { on, time_s } of path) sums.set(nameOf(on), (sums.get(nameOf(on)) ?? 0) + time_s);
  return [...sums].reduce((a, b) => (b[1] > a[1] ? b : a), ["compute", 0] as [string, number])[0];
}

function collectiveReports({ program, list, timeline }: Simulation, exposed: ReadonlyMap<number, number>): CollectiveReport[] {
  const spans = new Map(timeline.transfers.map((span) => [span.transfer, span.stages]));
  const summaries = summarizeCollectives(program.chip);
  const groups = new Map<
    string,
    { count: number; program: number; sent: number; time: number; exposed: number; why: string; largest: number }
  >();
  for (const { id, op, axis, stages, programBytes, why } of list.transfers) {
    const group = groups.get(`${op} ${axis}`) ?? { count: 0, program: 0, sent: 0, time: 0, exposed: 0, why, largest: 0 };
    group.count++;
    group.program += programBytes;
    group.sent += stages.reduce((sum, { bytes }) => sum + bytes, 0);
    group.time += (spans.get(id) ?? []).reduce((sum, { from, to }) => sum + to - from, 0);
    group.exposed += exposed.get(id) ?? 0;
    if (programBytes > group.largest) [group.largest, group.why] = [programBytes, why];
    groups.set(`${op} ${axis}`, group);
  }
  return [...groups]
    .map(([key, group]) => {
      const [op = "", axis = ""] = key.split(" ");
      const known = summaries.find((summary) => summary.op === op && summary.axis === axis);
      return {
        op,
        axis,
        count: group.count,
        bytes_per_chip: known?.bytes_per_chip ?? group.program,
        sent_bytes_per_chip: group.sent,
        time_s: group.time,
        exposed_s: group.exposed,
        why: known?.why ?? group.why,
      };
    })
    .sort((a, b) => b.time_s - a.time_s);
}

function kernelReports({ program, timeline }: Simulation): KernelReport[] {
  const blocks = blocksOf(program.chip);
  const groups = new Map<
    string,
    { name: string; phase: string; kind: string; count: number; time: number; flops: number; hbm: number; limits: Map<string, number> }
  >();
  for (const { kernel, from, to } of timeline.kernels) {
    const { phase } = kernel.scope;
    const name = withoutBlocks(kernel.name, blocks);
    const key = `${phase} ${kernel.kind} ${name}`;
    const group = groups.get(key) ?? {
      name,
      phase,
      kind: kernel.kind,
      count: 0,
      time: 0,
      flops: 0,
      hbm: 0,
      limits: new Map<string, number>(),
    };
    group.count++;
    group.time += to - from;
    group.flops += kernel.flops;
    group.hbm += kernel.hbmBytes;
    group.limits.set(kernel.limit, (group.limits.get(kernel.limit) ?? 0) + to - from);
    groups.set(key, group);
  }
  return [...groups.values()]
    .sort((a, b) => b.time - a.time)
    .map(({ name, phase, kind, count, time, flops, hbm, limits }) => ({
      name,
      phase,
      kind,
      count,
      time_s: time,
      flops,
      hbm_bytes: hbm,
      limit: ensure([...limits].sort((a, b) => b[1] - a[1])[0], "limit")[0],
    }));
}
