import { ensure } from "@lapidary/std";
import { chipCount } from "@lapidary/topology";
import type { MemoryPlan, Program } from "@lapidary/compiler";
import type { Value, ValueId } from "@lapidary/ir";
import { usableHbm } from "./chip/chip-spec.js";
import type { AttentionForm } from "./cost/attention.js";
import { fuse } from "./cost/fusion.js";
import { type KernelCost, type KernelWork, kernelCost, kernelWork } from "./cost/kernel-cost.js";
import { type ComputeDtype, storedBytes } from "./cost/storage.js";
import { exportedBytes, exportedMemory, exportedStreamShare } from "./exported/exported-memory.js";
import type { Machine } from "./machine.js";
import { type Placement, checkPlacement } from "./network/placement.js";
import { memoryOfChip, offloadedValues } from "./result/memory-of-chip.js";
import { type ModelFlops, modelFlops } from "./result/model-flops.js";
import { stragglerDelay } from "./result/straggler-delay.js";
import { type ChipClass, type Fault, chipClasses } from "./timeline/chip-classes.js";
import { makeSteps } from "./timeline/make-steps.js";
import { type Timeline, runTimeline } from "./timeline/run-timeline.js";
import type { StepList } from "./timeline/step-list.js";

export interface SimulateOptions {
  /** `bf16` (default) is what `numerics: mxu` means on a chip. */
  readonly compute?: ComputeDtype;
  /** How a chip computes attention: `flash` by default. */
  readonly attention?: AttentionForm;
  /**
   * The type of arrays on links: `compute` (default) converts activations and gradients as a job does; `stated` is the type of the program, as
   * XLA sends the arrays of an exported step, except for gathered operands of matmuls.
   */
  readonly sentType?: SentType;
  /** Chips that differ from the others. */
  readonly faults?: readonly Fault[];
  /** The useful flops of the step; those of the matmuls of the program by default. */
  readonly flops?: ModelFlops | undefined;
}

export type SentType = "compute" | "stated";

/** Results that depend only on the program and the shape of its chips. They can be timed with several sets of rates. */
export interface Analysis {
  readonly program: Program;
  readonly compute: ComputeDtype;
  readonly attention: AttentionForm;
  readonly work: readonly KernelWork[];
  readonly sentType: SentType;
  /** Bytes of a value on links. */
  readonly sent: (value: Value) => number;
  /** Values that the host stores between the passes. */
  readonly offloaded: ReadonlySet<ValueId>;
  /** By value, the position of the kernel that writes it. */
  readonly writtenAt: ReadonlyMap<ValueId, ValueId>;
  readonly memory: MemoryPlan;
  /** The values of a step in the order whose positions are the steps of `memory`. */
  readonly memoryOrder: readonly ValueId[];
  readonly flops: ModelFlops;
}

/** The prediction of one step of a program on a machine. */
export interface Simulation extends Pick<Analysis, "program" | "compute" | "attention" | "sentType" | "memory" | "memoryOrder" | "flops"> {
  readonly machine: Machine;
  readonly placement: Placement;
  readonly kernels: readonly KernelCost[];
  readonly list: StepList;
  /** The timeline of the class of chips with the most core time. With faults, `timelines` has one for each class. */
  readonly timeline: Timeline;
  readonly timelines: readonly Timeline[];
  readonly classes: readonly ChipClass[];
  /** The time that a step waits for the slowest pod. */
  readonly stragglerDelaySeconds: number;
  readonly stepSeconds: number;
}

export function analyse(
  program: Program,
  { chip, torus }: Pick<Machine, "chip" | "torus">,
  compute: ComputeDtype,
  attention: AttentionForm = "flash",
  sentType: SentType = "compute",
): Analysis {
  const fusion = fuse(program.chip, program.schedule.order, attention);
  const offloaded = offloadedValues(program);
  const stored = (value: Value): number => storedBytes(value, compute);
  const exported = attention === "plain" || sentType === "stated" ? exportedBytes(program.chip, compute) : undefined;
  const bytes = attention === "plain" ? (exported?.tiled ?? stored) : stored;
  // Plain attention is that of the exported step, which XLA compiles.
  const { plan, order } =
    attention === "plain"
      ? exportedMemory(program, { compute, limit: usableHbm(chip), torus })
      : { plan: memoryOfChip(program, fusion, compute, offloaded), order: program.schedule.order };
  return {
    program,
    compute,
    attention,
    work: fusion.kernels.map((kernel) => kernelWork(program.chip, kernel, { chip, bytes })),
    sentType,
    sent: sentType === "stated" ? (exported?.elements ?? stored) : stored,
    offloaded,
    writtenAt: new Map(
      fusion.kernels.flatMap(({ writes, members }) => writes.map((id) => [id, ensure(members.at(-1), "member")] as const)),
    ),
    memory: plan,
    memoryOrder: order,
    flops: modelFlops(program.global),
  };
}

/**
 * Predicts the time of a compiled program on a machine.
 *
 * @throws LapidaryError if the program's mesh does not fit the machine
 */
export function simulate(program: Program, machine: Machine, options: SimulateOptions = {}): Simulation {
  const analysis = analyse(program, machine, options.compute ?? "bf16", options.attention, options.sentType);
  return simulateAnalysed(options.flops === undefined ? analysis : { ...analysis, flops: options.flops }, machine, options.faults);
}

export function simulateAnalysed(analysis: Analysis, machine: Machine, faults: readonly Fault[] = []): Simulation {
  const { program, compute, attention, sentType, memory, memoryOrder, flops } = analysis;
  const placement: Placement = { mesh: program.mesh, chip: machine.chip, slice: machine.torus, pods: machine.pods };
  checkPlacement(placement);
  const streamShare = attention === "plain" ? exportedStreamShare : 1;
  const kernels = analysis.work.map((work) => kernelCost(work, { chip: machine.chip, compute, streamShare }));
  const list = makeSteps(program, kernels, { placement, ...analysis });
  const classes = chipClasses(
    placement,
    faults,
    list.transfers.map(({ atoms }) => atoms),
  );
  const timelines = runTimeline(list, classes, { overlapLoss: machine.chip.calibrated.overlap_loss, dims: machine.torus.dims.length });
  const timeline = ensure(
    timelines.reduce((a, b) => (coreSeconds(b) > coreSeconds(a) ? b : a)),
    "timeline",
  );
  const stragglerDelaySeconds = stragglerDelay(list, machine, timeline.seconds);
  return {
    program,
    machine,
    compute,
    attention,
    sentType,
    placement,
    kernels,
    list,
    timeline,
    timelines,
    classes,
    stragglerDelaySeconds,
    stepSeconds: timeline.seconds + stragglerDelaySeconds,
    memory,
    memoryOrder,
    flops,
  };
}

/** Seconds in which the core runs kernels. */
export const coreSeconds = ({ kernels }: Timeline): number => kernels.reduce((sum, { from, to }) => sum + to - from, 0);

/** Share of the machine's bf16 peak that a step with `flops` reaches. */
export const utilisation = ({ machine, stepSeconds }: Pick<Simulation, "machine" | "stepSeconds">, flops: number): number =>
  flops / (stepSeconds * machine.chip.matrix.bf16_flops * chipCount(machine.torus) * machine.pods);
