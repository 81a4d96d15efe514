import { sizeOf } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { Mesh, WorkerGrid } from "@lapidary/topology";
import { blockDimsOf, firstReplicas, runsOf } from "../blocks.js";
import { type BlockPlace, type DeviceImage, type ImageMemory, isSummed } from "../device/image-memory.js";
import type { DeviceTensor } from "../device/tfjs.js";
import type { ImagePlace } from "../protocol.js";
import { unknownImageError } from "./errors.js";
import type { ValueStore } from "./values.js";

/** Where this worker stands in its gang. */
export interface Rank {
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly worker: number;
}

/** What lays the blocks of some values, as long as these have the layouts that it was made for. */
interface Laying {
  readonly layouts: readonly string[];
  /** Values of which this worker has a first replica: together the workers lay each array once. */
  readonly own: readonly string[];
  readonly bytes: number;
  readonly lay: (blocks: readonly DeviceTensor[]) => readonly number[];
  /** By value of the image: which of `own` it is, or whether it is summed up at all. */
  readonly shares: readonly (number | "none" | "unknown")[];
}

/** What of a state was laid. */
export interface Laid {
  readonly bytes: number;
  /**
   * By value of the image: what this worker's block adds to the checksum (crc32) of the whole array, which is that of all workers together (xor), inverted; null
   * where nobody sums it up.
   */
  readonly shares: readonly (number | null)[];
}

/** The images of checkpoints that a gang's coordinator shares with this worker. They are closed when it leaves the gang. */
export class Snapshots {
  readonly #memory: ImageMemory | undefined;
  readonly #images = new Map<string, { readonly image: DeviceImage; readonly places: readonly ImagePlace[]; laying?: Laying }>();

  constructor(memory: ImageMemory | undefined) {
    this.#memory = memory;
  }

  /** @returns whether blocks can be laid in it */
  open(path: string, bytes: number, places: readonly ImagePlace[]): boolean {
    const image = this.#memory?.open(path, bytes);
    if (image === undefined) return false;
    this.#images.get(path)?.image.close();
    this.#images.set(path, { image, places });
    return true;
  }

  /** @throws LAP_WORKER_IMAGE_UNKNOWN */
  take(path: string, values: ValueStore, rank: Rank): Laid {
    const known = this.#images.get(path);
    if (known === undefined) throw unknownImageError(path);
    const layouts = known.places.map(({ value }) => values.get(value).layout);
    if (known.laying === undefined || layouts.some((layout, i) => layout !== known.laying?.layouts[i]))
      known.laying = plan(known.image, known.places, layouts, values, rank);
    const { own, bytes, lay, shares } = known.laying;
    const laid = own.length === 0 ? [] : lay(own.map((value) => must(values.get(value).held[0], value)));
    return { bytes, shares: shares.map((share) => (share === "unknown" ? null : share === "none" ? 0 : must(laid[share], "share"))) };
  }

  close(): void {
    for (const { image } of this.#images.values()) image.close();
    this.#images.clear();
  }
}

function plan(
  image: DeviceImage,
  places: readonly ImagePlace[],
  layouts: readonly string[],
  values: ValueStore,
  { mesh, grid, worker }: Rank,
): Laying {
  const own: string[] = [];
  const blocks: BlockPlace[] = [];
  let bytes = 0;
  const shares = places.map(({ value, begin }) => {
    const { type, sharding } = values.get(value);
    const owners = firstReplicas(mesh, grid, sharding);
    // All workers come to the same answer: blocks are as large everywhere.
    const summed = owners.every((owner) => isSummed(runsOf(mesh, grid, owner, type.dims, sharding)));
    if (!owners.includes(worker)) return summed ? "none" : "unknown";
    const runs = runsOf(mesh, grid, worker, type.dims, sharding);
    bytes += 4 * sizeOf(blockDimsOf(mesh, grid, type.dims, sharding));
    blocks.push({ begin, runs, whole: summed ? sizeOf(type.dims) : undefined });
    own.push(value);
    return summed ? own.length - 1 : "unknown";
  });
  return { layouts, own, bytes, lay: image.bind(blocks), shares };
}
