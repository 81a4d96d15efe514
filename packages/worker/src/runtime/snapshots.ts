import type { DeviceImage, DeviceTensor, ImageMemory } from "@lapidary/executor";
import { type GroupLayout, type Handle, type StagedTensor, type WorkerRank, checkTensor, stagedBlocks } from "@lapidary/protocol";
import { must } from "@lapidary/std";
import { unknownImageError, valueTypeError } from "./errors.js";
import { type ValueStore, layoutText } from "./values.js";

/** What this worker wrote of a state. */
export interface WrittenBlocks {
  readonly bytes: number;
  /**
   * By array of the staging buffer: what this worker's block adds to the checksum (crc32) of the whole array, which is that of all workers together (xor),
   * inverted; null if the workers do not compute it.
   */
  readonly shares: readonly (number | null)[];
}

/** An opened staging buffer, and which blocks this worker writes there. */
interface StagingBuffer {
  readonly image: DeviceImage;
  /** Of every array, to compare with the values. */
  readonly arrays: readonly { readonly id: Handle; readonly layout: string }[];
  /** Arrays of which this worker writes a block. */
  readonly own: readonly Handle[];
  readonly bytes: number;
  readonly write: (blocks: readonly DeviceTensor[]) => readonly number[];
  /** By array: index in `own` of the block whose share counts; whether another worker has it; or that the workers compute no checksum. */
  readonly shares: readonly (number | "elsewhere" | "unknown")[];
}

/** The staging buffers that the coordinator of a group shares with this worker. They are closed when it leaves the group. */
export class Snapshots {
  readonly #memory: ImageMemory | undefined;
  readonly #group: GroupLayout;
  readonly #worker: WorkerRank;
  readonly #buffers = new Map<string, StagingBuffer>();

  /** @param memory without it no staging buffer can be opened */
  constructor(memory: ImageMemory | undefined, group: GroupLayout, worker: WorkerRank) {
    this.#memory = memory;
    this.#group = group;
    this.#worker = worker;
  }

  /**
   * @returns whether blocks can be written there
   * @throws DecodeFailure if the mesh cannot split an array as its sharding says
   */
  open(path: string, bytes: number, tensors: readonly StagedTensor[]): boolean {
    const { mesh } = this.#group;
    for (const { tensor } of tensors) checkTensor(mesh, tensor);
    const image = this.#memory?.open(path, bytes);
    if (image === undefined) return false;
    this.#buffers.get(path)?.image.close();
    const blocks = stagedBlocks(tensors, this.#group, this.#worker);
    const written = blocks.flatMap(({ tensor, segments, checksumOf }) =>
      segments === undefined ? [] : [{ id: tensor.id, segments, checksumOf }],
    );
    const own = written.map(({ id }) => id);
    this.#buffers.set(path, {
      image,
      arrays: tensors.map(({ tensor }) => ({ id: tensor.id, layout: layoutText(mesh, tensor) })),
      own,
      bytes: blocks.reduce((sum, block) => sum + block.bytes, 0),
      write: image.bind(written),
      shares: blocks.map(({ tensor, segments, checksumOf }) => {
        if (checksumOf === undefined) return "unknown";
        return segments === undefined ? "elsewhere" : own.indexOf(tensor.id);
      }),
    });
    return true;
  }

  /** @throws LAP_WORKER_IMAGE_UNKNOWN; LAP_WORKER_VALUE_TYPE if an array has another layout than the staging buffer was opened for */
  take(path: string, values: ValueStore): WrittenBlocks {
    const buffer = this.#buffers.get(path);
    if (buffer === undefined) throw unknownImageError(path);
    for (const { id, layout } of buffer.arrays) {
      const value = values.get(id);
      if (value.layout !== layout) throw valueTypeError(id, value.layout, layout);
    }
    const { own, bytes, write, shares } = buffer;
    const written = own.length === 0 ? [] : write(own.map((id) => must(values.get(id).held[0], id)));
    return {
      bytes,
      shares: shares.map((share) => (share === "unknown" ? null : share === "elsewhere" ? 0 : must(written[share], "share"))),
    };
  }

  close(): void {
    for (const { image } of this.#buffers.values()) image.close();
    this.#buffers.clear();
  }
}
