import type { HostProgram } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import type { ArrayData, CallName, ProgramTensors, TensorSpec } from "@lapidary/protocol";
import type { DeviceTensor } from "../device/tfjs.js";
import type { Plan } from "../plan/plan.js";
import type { ScheduleItem } from "./schedule.js";

/** The tensors of a value on a worker: one for its block (stacked), or one for each chip (chipwise). */
export type Held = readonly DeviceTensor[];

/** The time of runs by kind, in milliseconds, summed since the program was loaded. */
interface RunTimes {
  readonly gemm_ms: number;
  /** Everything except matmuls and waiting. */
  readonly otherKernels_ms: number;
  /** Part of otherKernels_ms: fused kernels. */
  readonly fused_ms: number;
  readonly fabricWait_ms: number;
  readonly total_ms: number;
  readonly runs: number;
}

/** For each call of one run: its start, its length, and for how long it waited for other workers. */
export interface CallTimes {
  /** By `Clock.machine`, milliseconds. */
  readonly began_ms: number;
  /** Three numbers for each of `Executable.calls`, in microseconds: its start after `began_ms`, its length, and its wait. */
  readonly calls_us: number[];
}

/** A program, bound to kernels. */
export interface Executable {
  /** The arrays that it reads and computes, in the order of the program. */
  readonly tensors: ProgramTensors;
  /**
   * @param inputs one for each parameter
   * @param donated by parameter: whether the run consumes its value, which is then disposed at its last use
   * @param tag the name of this run: the same on all workers, never used twice
   * @param onTimes receives the times of the calls, if the executor knows them
   * @throws LAP_WORKER_KERNEL naming the value whose kernel failed; PeerLostError
   */
  run(inputs: readonly Held[], donated: readonly boolean[], tag: string, onTimes?: (times: CallTimes) => void): Promise<Held[]>;
  /** The calls of one run, in order. Empty if the executor does not know them. */
  readonly calls: readonly CallName[];
  readonly times: RunTimes;
  dispose(): void;
}

/** A program, prepared as far as possible without a worker group. All groups with the same mesh and number of workers can use it. */
export type Prepared =
  | { readonly kind: "chipwise"; readonly chip: Graph }
  | {
      readonly kind: "stacked";
      readonly program: HostProgram;
      readonly plan: Plan;
      readonly schedule: readonly ScheduleItem[];
      readonly tensors: ProgramTensors;
    };

/** A way to run per-chip programs on this worker. All executors compute the same values. */
export interface Executor {
  /** @param chip a per-chip program, with a sharding on every value */
  prepare(chip: Graph): Prepared;
  /** @param prepared from an executor of this kind, with the same mesh, number of workers, numerics and device */
  load(prepared: Prepared): Executable;
  /** Keeps this worker's block of an array. */
  put(tensor: TensorSpec, block: ArrayData): Held;
  /** This worker's block. */
  fetch(held: Held, tensor: TensorSpec): ArrayData;
}

export const disposeHeld = (held: Held): void => {
  for (const tensor of held) tensor.dispose();
};

export const heldBytes = (held: Held): number => held.reduce((sum, tensor) => sum + tensor.size * (tensor.dtype === "bool" ? 1 : 4), 0);

/** The error of a failed kernel, with the provenance of the value that it computes. */
export function kernelError(cause: unknown, op: string, name: string): LapidaryError {
  if (cause instanceof LapidaryError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const outOfMemory = /OOM|out of memory|allocat/i.test(message);
  return new LapidaryError({
    code: outOfMemory ? "LAP_WORKER_MEMORY" : "LAP_WORKER_KERNEL",
    message: `${op} failed: ${message}`,
    location: name,
    remedy: outOfMemory
      ? "use a smaller batch or model, or more workers on machines with more memory"
      : "run the same program with `executor: chipwise`; if it passes there, this is a bug of the worker",
    cause,
  });
}
