import { must } from "@lapidary/std";
import { type Torus, chipCount } from "@lapidary/topology";
import type { MemoryPlan, Program } from "@lapidary/compiler";
import type { ChipSpec } from "./chip/chip-spec.js";
import { fuse } from "./cost/fusion.js";
import { type KernelCost, kernelCost } from "./cost/kernel-cost.js";
import type { ComputeDtype } from "./cost/storage.js";
import { type Placement, checkPlacement } from "./network/placement.js";
import { memoryOfChip, offloadedValues } from "./result/memory-of-chip.js";
import { type ModelFlops, modelFlops } from "./result/model-flops.js";
import { podWait } from "./result/pod-wait.js";
import { type Fault, chipClasses } from "./timeline/chip-classes.js";
import { makeSteps } from "./timeline/make-steps.js";
import { type Timeline, runTimeline } from "./timeline/run-timeline.js";
import type { StepList } from "./timeline/step-list.js";

export interface Machine {
  readonly chip: ChipSpec;
  readonly pods: number;
  /** Chips of each pod that the job has. */
  readonly torus: Torus;
}

export interface SimulateOptions {
  /** `bf16` (default) is what `numerics: mxu` means on a chip. */
  readonly compute?: ComputeDtype;
  /** Chips that differ from the others. */
  readonly faults?: readonly Fault[];
}

/** One step of a program on a machine, predicted. */
export interface Simulation {
  readonly program: Program;
  readonly machine: Machine;
  readonly compute: ComputeDtype;
  readonly placement: Placement;
  readonly kernels: readonly KernelCost[];
  readonly list: StepList;
  /** Of the chip that ends last; with faults, one of each kind of chip. */
  readonly timeline: Timeline;
  readonly timelines: readonly Timeline[];
  /** How much longer a step takes since it waits for the slowest pod. */
  readonly podWaitSeconds: number;
  readonly stepSeconds: number;
  readonly memory: MemoryPlan;
  readonly flops: ModelFlops;
}

/**
 * Times a compiled, scheduled program on a model of chips. It sees the program alone: no model, no job.
 *
 * @throws LapidaryError where the program's mesh is not that of the machine
 */
export function simulate(program: Program, machine: Machine, options: SimulateOptions = {}): Simulation {
  const compute = options.compute ?? "bf16";
  const placement: Placement = { mesh: program.mesh, chip: machine.chip, slice: machine.torus, pods: machine.pods };
  checkPlacement(placement);
  const fusion = fuse(program.chip, program.schedule.order);
  const kernels = fusion.kernels.map((kernel) => kernelCost(program.chip, kernel, { chip: machine.chip, compute }));
  const offloaded = offloadedValues(program);
  const writtenAt = new Map(fusion.kernels.flatMap(({ writes, members }) => writes.map((id) => [id, must(members.at(-1), "member")] as const)));
  const list = makeSteps(program, kernels, { placement, compute, offloaded, writtenAt });
  const classes = chipClasses(placement, options.faults ?? [], list.transfers.map(({ atoms }) => atoms));
  const timelines = runTimeline(list, classes, { overlapLoss: machine.chip.calibrated.overlap_loss, dims: machine.torus.dims.length });
  const timeline = must(timelines.reduce((a, b) => (b.kernels.reduce((n, k) => n + k.to - k.from, 0) > a.kernels.reduce((n, k) => n + k.to - k.from, 0) ? b : a)), "timeline");
  const podWaitSeconds = podWait(list, machine, timeline.seconds);
  return {
    program,
    machine,
    compute,
    placement,
    kernels,
    list,
    timeline,
    timelines,
    podWaitSeconds,
    stepSeconds: timeline.seconds + podWaitSeconds,
    memory: memoryOfChip(program, fusion, compute, offloaded),
    flops: modelFlops(program.global),
  };
}

/** Share of the machine's bf16 peak that a step of so many flops makes of it. */
export const utilisation = ({ machine, stepSeconds }: Pick<Simulation, "machine" | "stepSeconds">, flops: number): number => flops / (stepSeconds * machine.chip.matrix.bf16_flops * chipCount(machine.torus) * machine.pods);
