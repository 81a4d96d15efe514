import { type ScatterId, type StagedBlock, type StagingFunctions, type StagingId, encodeScatter } from "@lapidary/native";
import { kernelAttributes } from "./native-ops.js";
import type { DeviceTensor, NodeBackend } from "./tfjs.js";

/** Memory that processes share. A kernel of the package native writes shard blocks into it. */
export class ImageMemory {
  readonly #node: NodeBackend;
  readonly #functions: StagingFunctions;

  private constructor(node: NodeBackend, functions: StagingFunctions) {
    this.#node = node;
    this.#functions = functions;
  }

  static of(node: NodeBackend, functions: StagingFunctions | undefined): ImageMemory | undefined {
    return functions === undefined ? undefined : new ImageMemory(node, functions);
  }

  /** Undefined where it cannot be had: of another machine, or of another size. */
  open(path: string, bytes: number): DeviceImage | undefined {
    const image = this.#functions.openStaging(path, bytes);
    return image === undefined ? undefined : new DeviceImage(this.#node, this.#functions, image);
  }

  /** Undefined where the system gives none. */
  share(bytes: number): SharedImage | undefined {
    const shared = this.#functions.share(bytes);
    if (shared === undefined) return undefined;
    const path = `/proc/${process.pid}/fd/${shared.file}`;
    const image = this.open(path, bytes);
    return image === undefined ? undefined : { path, bytes: new Uint8Array(shared.memory), image };
  }

  /** What another process shares, as it is now and will be; undefined where it cannot be had. */
  view(path: string, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    const memory = this.#functions.view(path, bytes);
    return memory === undefined ? undefined : new Uint8Array(memory);
  }
}

/** Memory of this process that others can open by its path, as long as it is held here. */
export interface SharedImage {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly image: DeviceImage;
}

export class DeviceImage {
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
   * A function that writes f32 blocks, in the order of `places`, to their segments.
   *
   * @returns what each of them adds to the checksum of its array: the crc32 of that is all of them together (xor), inverted; 0 where it is not wanted
   */
  bind(places: readonly StagedBlock[]): (blocks: readonly DeviceTensor[]) => readonly number[] {
    const { binding } = this.#node;
    const scatter = this.#functions.registerScatter(this.#staging, encodeScatter(places));
    this.#scatters.push(scatter);
    const attributes = kernelAttributes(binding, "LapidaryScatterWrite", { N: places.length, scatter });
    // Copies want none: then they are not asked for.
    const none = places.every(({ checksumOf }) => checksumOf === undefined) ? places.map(() => 0) : undefined;
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
