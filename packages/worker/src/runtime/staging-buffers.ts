import type { StagingBuffer, DeviceTensor, StagingMemory } from "@lapidary/executor";
import { type GroupLayout, type Handle, type StagedTensor, type WorkerRank, checkTensor, stagedBlocks } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { unknownStagingBufferError, valueTypeError } from "./errors.js";
import { type ValueStore, layoutText } from "./values.js";

/** The result of writing this worker's blocks of a state. */
export interface WrittenBlocks {
  readonly bytes: number;
  /**
   * By array of the staging buffer: the share of this worker's block in the checksum (crc32) of the whole array. The checksum is the xor of the shares of
   * all workers, inverted. Null: the workers do not compute it.
   */
  readonly shares: readonly (number | null)[];
}

/** An opened staging buffer, and the blocks that this worker writes into it. */
interface OpenedBuffer {
  readonly buffer: StagingBuffer;
  /** Of every array, to compare with the values. */
  readonly arrays: readonly { readonly id: Handle; readonly layout: string }[];
  /** Arrays of which this worker writes a block. */
  readonly own: readonly Handle[];
  readonly bytes: number;
  readonly write: (blocks: readonly DeviceTensor[]) => readonly number[];
  /** By array: the index in `own` of its block; `elsewhere` if another worker writes it; `unknown` if the workers compute no checksum. */
  readonly shares: readonly (number | "elsewhere" | "unknown")[];
}

/** The staging buffers that the coordinator of a group shares with this worker. They are closed when it leaves the group. */
export class StagingBuffers {
  readonly #memory: StagingMemory | undefined;
  readonly #group: GroupLayout;
  readonly #worker: WorkerRank;
  readonly #buffers = new Map<string, OpenedBuffer>();

  /** @param memory undefined: no staging buffer can be opened */
  constructor(memory: StagingMemory | undefined, group: GroupLayout, worker: WorkerRank) {
    this.#memory = memory;
    this.#group = group;
    this.#worker = worker;
  }

  /**
   * @returns whether this worker can write its blocks into the buffer
   * @throws DecodeFailure if the mesh cannot split an array as its sharding says
   */
  open(path: string, bytes: number, tensors: readonly StagedTensor[]): boolean {
    const { mesh } = this.#group;
    for (const { tensor } of tensors) checkTensor(mesh, tensor);
    const buffer = this.#memory?.open(path, bytes);
    if (buffer === undefined) return false;
    this.#buffers.get(path)?.buffer.close();
    const blocks = stagedBlocks(tensors, this.#group, this.#worker);
    const written = blocks.flatMap(({ tensor, segments, checksumOf }) =>
      segments === undefined ? [] : [{ id: tensor.id, segments, checksumOf }],
    );
    const own = written.map(({ id }) => id);
    this.#buffers.set(path, {
      buffer,
      arrays: tensors.map(({ tensor }) => ({ id: tensor.id, layout: layoutText(mesh, tensor) })),
      own,
      bytes: blocks.reduce((sum, block) => sum + block.bytes, 0),
      write: buffer.bind(written),
      shares: blocks.map(({ tensor, segments, checksumOf }) => {
        if (checksumOf === undefined) return "unknown";
        return segments === undefined ? "elsewhere" : own.indexOf(tensor.id);
      }),
    });
    return true;
  }

  /** @throws LAP_WORKER_IMAGE_UNKNOWN; LAP_WORKER_VALUE_TYPE if an array has another layout than the staging buffer was opened for */
  write(path: string, values: ValueStore): WrittenBlocks {
    const buffer = this.#buffers.get(path);
    if (buffer === undefined) throw unknownStagingBufferError(path);
    for (const { id, layout } of buffer.arrays) {
      const value = values.get(id);
      if (value.layout !== layout) throw valueTypeError(id, value.layout, layout);
    }
    const { own, bytes, write, shares } = buffer;
    const written = own.length === 0 ? [] : write(own.map((id) => ensure(values.get(id).held[0], id)));
    return {
      bytes,
      shares: shares.map((share) => (share === "unknown" ? null : share === "elsewhere" ? 0 : ensure(written[share], "share"))),
    };
  }

  close(): void {
    for (const { buffer } of this.#buffers.values()) buffer.close();
    this.#buffers.clear();
  }
}
