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
import type { Snapshots } from "./snapshots.js";
import { type ValueStore, layoutText } from "./values.js";

/** A run that this worker takes part in. */
export interface Membership {
  readonly configuration: ConfigureMessage;
  readonly group: GroupLayout;
  readonly worker: WorkerRank;
  readonly executor: Executor;
  readonly peers: Peers | undefined;
  readonly values: ValueStore;
  readonly programs: Map<ProgramHash, LoadedProgram>;
  readonly snapshots: Snapshots;
  /** Where tests let this worker fail, if they do. */
  readonly faults: StepFaults | undefined;
  /** Runs so far: the same on all workers, because all get the same messages. */
  runs: number;
}

export interface LoadedProgram {
  readonly executable: Executable;
  /** Of parameters and outputs, to compare with values. */
  readonly parameterLayouts: readonly string[];
  readonly outputLayouts: readonly string[];
  /** Of its last run. */
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

/** The same of bytes, which the device may keep. @throws DecodeFailure */
export function keepBytes(member: Membership, tensor: TensorSpec, bytes: Uint8Array): number {
  checkTensor(member.group.mesh, tensor);
  return keepBlock(member, tensor, arrayOf(tensor.dtype, blockDimsOf(ownBlock(member, tensor)), numbersOf(tensor.dtype, bytes)));
}
