import { type Executable, type Executor, heldBytes } from "@lapidary/executor";
import type { Peers } from "@lapidary/fabric";
import {
  type ArrayData,
  type BlockLayout,
  type ConfigureMessage,
  type GroupLayout,
  type ProgramHash,
  type RunValues,
  type TensorSpec,
  type WorkerRank,
  arrayLayout,
  arrayOf,
  blockDimsOf,
  blockOf,
  checkTensor,
  numbersOf,
} from "@lapidary/protocol";
import type { StepFaults } from "./faults.js";
import type { StagingBuffers } from "./staging-buffers.js";
import { type ValueStore, layoutText } from "./values.js";

/** The run that this worker is a member of. */
export interface Membership {
  readonly configuration: ConfigureMessage;
  readonly group: GroupLayout;
  readonly worker: WorkerRank;
  readonly executor: Executor;
  readonly peers: Peers | undefined;
  readonly values: ValueStore;
  readonly programs: Map<ProgramHash, LoadedProgram>;
  readonly stagingBuffers: StagingBuffers;
  /** Failpoints inside a step, if any are armed. */
  readonly faults: StepFaults | undefined;
  /** Number of program runs so far. It is the same on all workers, because all get the same messages. */
  runs: number;
}

export interface LoadedProgram {
  readonly executable: Executable;
  /** Layouts of the parameters, to compare with those of values. */
  readonly parameterLayouts: readonly string[];
  readonly outputLayouts: readonly string[];
  /** The handles of the last run. */
  values?: RunValues;
}

/** The block of an array that this worker has. */
export const ownBlock = ({ group, worker }: Membership, tensor: TensorSpec): BlockLayout => blockOf(arrayLayout(group, tensor), worker);

/**
 * Keeps this worker's block of an array. An existing array of the same id is replaced.
 *
 * @returns the bytes of the block
 * @throws DecodeFailure if the mesh cannot split the array so
 */
export function keepBlock({ group, executor, values }: Membership, tensor: TensorSpec, block: ArrayData): number {
  checkTensor(group.mesh, tensor);
  const held = executor.put(tensor, block);
  values.set(tensor.id, { held, tensor, layout: layoutText(group.mesh, tensor) });
  return heldBytes(held);
}

/** Keeps a block that is given as bytes. The device may keep the bytes. @throws DecodeFailure */
export function keepBytes(member: Membership, tensor: TensorSpec, bytes: Uint8Array): number {
  checkTensor(member.group.mesh, tensor);
  return keepBlock(member, tensor, arrayOf(tensor.dtype, blockDimsOf(ownBlock(member, tensor)), numbersOf(tensor.dtype, bytes)));
}
