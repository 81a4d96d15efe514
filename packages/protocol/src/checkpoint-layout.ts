import { sizeOf } from "@lapidary/ir";
import { type GroupLayout, arrayLayout, blockOf } from "./block-layout.js";
import { type BlockSegments, blockDimsOf, firstReplicas, segmentsOf } from "./blocks.js";
import { count, record } from "./decode.js";
import type { WorkerRank } from "./ids.js";
import { type TensorSpec, tensorSpecDecoder } from "./tensor-spec.js";

/** A file starts at a multiple of this in the staging buffer, so that direct I/O can write it. */
const fileAlignment = 4096;

/** Bytes of a number in a checkpoint. Workers have 4 bytes for each number of every type. */
const numberBytes = 4;

/** The native library computes checksums of segments whose length is a multiple of this: `kRunBlock` of checksum.h. */
const checksumBlockBytes = 256;

/** A part of a file: an array, or bytes that are equal in every checkpoint of a run. */
export interface CheckpointPart {
  readonly name: string;
  /** First byte in the staging buffer. */
  readonly begin: number;
  readonly bytes: number;
  readonly content: { readonly constant: Uint8Array } | { readonly tensor: TensorSpec };
}

/** A file of a checkpoint: its head, then its arrays by name. */
export interface CheckpointFileSpec {
  readonly name: string;
  readonly head: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly tensors: readonly (readonly [name: string, tensor: TensorSpec])[];
}

/** The whole array, row-major, begins at byte `begin` of the staging buffer. */
export interface StagedTensor {
  readonly tensor: TensorSpec;
  readonly begin: number;
}

export const stagedTensorDecoder = record<StagedTensor>({ tensor: tensorSpecDecoder, begin: count });

/**
 * Where the files of a checkpoint and their arrays are in one staging buffer:
 *
 *     │ model.safetensors: length, header, weights by name …        │ optimizer.safetensors: length, header, moments …      │
 *     0                                                             a multiple of 4 KiB
 *
 * The coordinator writes the files from it. `stagedBlocks` says which bytes of it each worker writes.
 */
export interface CheckpointLayout {
  readonly bytes: number;
  /** By file: its parts, without gaps between them. */
  readonly files: ReadonlyMap<string, readonly CheckpointPart[]>;
  /** The arrays of all files, in order. */
  readonly tensors: readonly StagedTensor[];
}

export function checkpointLayout(specs: readonly CheckpointFileSpec[]): CheckpointLayout {
  let end = 0;
  const tensors: StagedTensor[] = [];
  const files = specs.map(({ name: file, head, tensors: arrays }): [string, CheckpointPart[]] => {
    end = Math.ceil(end / fileAlignment) * fileAlignment;
    const part = (name: string, bytes: number, content: CheckpointPart["content"]): CheckpointPart => {
      end += bytes;
      return { name, begin: end - bytes, bytes, content };
    };
    const parts = head.map(([name, constant]) => part(name, constant.length, { constant }));
    for (const [name, tensor] of arrays) {
      tensors.push({ tensor, begin: end });
      parts.push(part(name, numberBytes * sizeOf(tensor.dims), { tensor }));
    }
    return [file, parts];
  });
  return { bytes: end, files: new Map(files), tensors };
}

/** The bytes of the staging buffer that one worker writes for one array, in the order of its block. */
export interface StagedBlock {
  readonly tensor: TensorSpec;
  /** In bytes of the staging buffer. Undefined: another worker has the first replica, and this worker writes nothing. */
  readonly segments: BlockSegments | undefined;
  /** Of the block. */
  readonly bytes: number;
  /** The array in the staging buffer, if the workers compute its checksum together. All workers get the same value. */
  readonly checksumOf: { readonly begin: number; readonly bytes: number } | undefined;
}

/** The bytes that a worker writes, by array. All workers together write every byte of every array once. */
export function stagedBlocks(tensors: readonly StagedTensor[], group: GroupLayout, worker: WorkerRank): StagedBlock[] {
  return tensors.map(({ tensor, begin }) => {
    const layout = arrayLayout(group, tensor);
    const own = segmentsOf(blockOf(layout, worker));
    const segments = {
      first: begin + numberBytes * own.first,
      length: numberBytes * own.length,
      counts: own.counts,
      strides: own.strides.map((stride) => numberBytes * stride),
    };
    const isFirst = firstReplicas(layout).includes(worker);
    return {
      tensor,
      segments: isFirst ? segments : undefined,
      bytes: isFirst ? numberBytes * sizeOf(blockDimsOf(layout)) : 0,
      checksumOf: segments.length % checksumBlockBytes === 0 ? { begin, bytes: numberBytes * sizeOf(tensor.dims) } : undefined,
    };
  });
}
