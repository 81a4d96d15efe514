import { type ScatterId, type StagedBlock, type StagingFunctions, type StagingId, encodeScatter } from "@lapidary/native";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** Memory that processes share. A kernel of the package native writes shard blocks into it. */
export class StagingMemory {
  readonly #node: NodeBackend;
  readonly #functions: StagingFunctions;

  private constructor(node: NodeBackend, functions: StagingFunctions) {
    this.#node = node;
    this.#functions = functions;
  }

  static of(node: NodeBackend, functions: StagingFunctions | undefined): StagingMemory | undefined {
    return functions === undefined ? undefined : new StagingMemory(node, functions);
  }

  /** Opens shared memory of another process. Undefined if it is on another machine or has another size. */
  open(path: string, bytes: number): StagingBuffer | undefined {
    const staging = this.#functions.openStaging(path, bytes);
    return staging === undefined ? undefined : new StagingBuffer(this.#node, this.#functions, staging);
  }

  /** Creates shared memory. Undefined if the system gives none. */
  share(bytes: number): SharedStagingBuffer | undefined {
    const shared = this.#functions.share(bytes);
    if (shared === undefined) return undefined;
    const path = `/proc/${process.pid}/fd/${shared.file}`;
    const buffer = this.open(path, bytes);
    return buffer === undefined ? undefined : { path, bytes: new Uint8Array(shared.memory), buffer };
  }

  /** A view of shared memory of another process. It shows later writes too. Undefined if the memory cannot be opened. */
  view(path: string, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    const memory = this.#functions.view(path, bytes);
    return memory === undefined ? undefined : new Uint8Array(memory);
  }
}

/** Shared memory of this process. Other processes can open it by its path until it is closed. */
export interface SharedStagingBuffer {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly buffer: StagingBuffer;
}

/** Shared memory into which the native kernel writes blocks of tensors. */
export class StagingBuffer {
  readonly #node: NodeBackend;
  readonly #functions: StagingFunctions;
  readonly #staging: StagingId;
  readonly #scatters: ScatterId[] = [];

  constructor(node: NodeBackend, functions: StagingFunctions, staging: StagingId) {
    this.#node = node;
    this.#functions = functions;
    this.#staging = staging;
  }

  /**
   * Binds a scatter write: a function that writes f32 blocks, in the order of `staged`, to their segments.
   *
   * The function returns the share of each block in the checksum of its array. The crc32 of the array is the xor of all shares, inverted. A block without
   * `checksumOf` has the share 0.
   */
  bind(staged: readonly StagedBlock[]): (blocks: readonly DeviceTensor[]) => readonly number[] {
    const { binding } = this.#node;
    const scatter = this.#functions.registerScatter(this.#staging, encodeScatter(staged));
    this.#scatters.push(scatter);
    const attributes = kernelAttributes(binding, "LapidaryScatterWrite", { N: staged.length, scatter });
    // Replicas have no checksums.
    const none = staged.every(({ checksumOf }) => checksumOf === undefined) ? staged.map(() => 0) : undefined;
    return (blocks) => {
      for (const { id } of binding.executeOp("LapidaryScatterWrite", attributes, this.#node.getInputTensorIds(blocks), 1))
        binding.deleteTensor(id);
      return none ?? this.#functions.checksumShares(scatter);
    };
  }

  close(): void {
    this.#functions.closeStaging(this.#staging, Float64Array.from(this.#scatters));
  }
}
