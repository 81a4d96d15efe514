import type { HostProgram } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import type { ArrayData, CallName, ProgramTensors, TensorSpec } from "@lapidary/protocol";
import type { DeviceTensor } from "../device/tfjs.js";
import type { Plan } from "../plan/plan.js";
import type { Place } from "./order.js";

/** A value as a worker holds it: one tensor for its block (stacked), or one for every chip (chipwise). */
export type Held = readonly DeviceTensor[];

/** Where the time of runs went, in milliseconds, summed since the program was loaded. */
interface RunTimes {
  readonly gemm_ms: number;
  /** Everything that is neither a product nor waiting. */
  readonly otherKernels_ms: number;
  /** Of these, kernels that join several. */
  readonly fused_ms: number;
  readonly fabricWait_ms: number;
  readonly total_ms: number;
  readonly runs: number;
}

/** When each call of one run began, how long it took, and how much of that it waited for other workers. */
export interface CallTimes {
  /** By `Clock.machine`, milliseconds. */
  readonly began_ms: number;
  /** Three numbers for each of `Executable.calls`: microseconds from `began_ms` to its begin, its length, what of it was waiting. */
  readonly calls_us: number[];
}

/** A program, bound to kernels. */
export interface Executable {
  /** What it reads and makes, in the order of the program. */
  readonly tensors: ProgramTensors;
  /**
   * @param inputs one for each parameter
   * @param donated per parameter, whether its value is consumed: then it is disposed at its last use
   * @param tag names this run: the same on all workers, never used twice
   * @param onTimes hears of every call of this run, where the executor knows them
   * @throws LAP_WORKER_KERNEL naming the value whose kernel failed; PeerLostError
   */
  run(inputs: readonly Held[], donated: readonly boolean[], tag: string, onTimes?: (times: CallTimes) => void): Promise<Held[]>;
  /** What one run calls, in order; none where the executor does not know them. */
  readonly calls: readonly CallName[];
  readonly times: RunTimes;
  dispose(): void;
}

/** A program as far as it can be worked out without a gang: of use to every gang of as many workers over the same mesh. */
export type Prepared =
  | { readonly kind: "chipwise"; readonly chip: Graph }
  | {
      readonly kind: "stacked";
      readonly program: HostProgram;
      readonly plan: Plan;
      readonly order: readonly Place[];
      readonly tensors: ProgramTensors;
    };

/** The ways to run per-chip programs on this worker. They mean the same. */
export interface Executor {
  /** @param chip a per-chip program, with a sharding on every value */
  prepare(chip: Graph): Prepared;
  /** @param prepared by an executor of this kind, with the same mesh, number of workers, numerics and device */
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

/** A kernel that failed, with the provenance of what it computes. */
export function kernelError(cause: unknown, op: string, name: string): LapidaryError {
  if (cause instanceof LapidaryError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const outOfMemory = /OOM|out of memory|allocat/i.test(message);
  return new LapidaryError({
    code: outOfMemory ? "LAP_WORKER_MEMORY" : "LAP_WORKER_KERNEL",
    message: `${op} failed: ${message}`,
    place: name,
    remedy: outOfMemory
      ? "use a smaller batch or model, or more workers on machines with more memory"
      : "run the same program with `executor: chipwise`; if it passes there, this is a bug of the worker",
    cause,
  });
}
