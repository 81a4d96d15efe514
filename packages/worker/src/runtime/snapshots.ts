import { sizeOf } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { Mesh, WorkerGrid } from "@lapidary/topology";
import { blockDimsOf, firstReplicas, runsOf } from "../blocks.js";
import type { DeviceImage, ImageMemory } from "../device/image-memory.js";
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
  readonly lay: (blocks: readonly DeviceTensor[]) => void;
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

  /** @returns the bytes that were laid @throws LAP_WORKER_IMAGE_UNKNOWN */
  take(path: string, values: ValueStore, rank: Rank): number {
    const known = this.#images.get(path);
    if (known === undefined) throw unknownImageError(path);
    const layouts = known.places.map(({ value }) => values.get(value).layout);
    if (known.laying === undefined || layouts.some((layout, i) => layout !== known.laying?.layouts[i]))
      known.laying = plan(known.image, known.places, layouts, values, rank);
    const { own, bytes, lay } = known.laying;
    if (own.length > 0) lay(own.map((value) => must(values.get(value).held[0], value)));
    return bytes;
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
  const own = places.filter(({ value }) => firstReplicas(mesh, grid, values.get(value).sharding).includes(worker));
  let bytes = 0;
  const blocks = own.map(({ value, begin }) => {
    const { type, sharding } = values.get(value);
    bytes += 4 * sizeOf(blockDimsOf(mesh, grid, type.dims, sharding));
    return { begin, runs: runsOf(mesh, grid, worker, type.dims, sharding) };
  });
  return { layouts, own: own.map(({ value }) => value), bytes, lay: image.bind(blocks) };
}
