import { blockPositions } from "@lapidary/compiler";
import { type Dataset, openDataset } from "@lapidary/data";
import { type Sharding, parseSharding } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { type Mesh, type WorkerGrid, workerCoordinate } from "@lapidary/topology";
import { type ArrayData, emptyNumbers, arrayOf } from "../blocks.js";
import type { FeedMessage, FeedPort } from "../protocol.js";

type Arrays = Readonly<Record<FeedPort["array"], ArrayData>>;

/**
 * Reads this worker's rows of a batch, and of those its columns where the sequence is sharded too. Batches are a function of
 * (seed, step, row): no worker needs another's.
 */
export class BatchReader {
  readonly #datasets = new Map<string, Dataset>();

  /** The block of each array that the message asks for, in its order. */
  read(
    message: FeedMessage,
    mesh: Mesh,
    grid: WorkerGrid,
    worker: number,
  ): { readonly port: FeedPort; readonly sharding: Sharding; readonly block: ArrayData }[] {
    const known = new Map<string, Arrays>();
    return message.into.map((port) => {
      const sharding = parseSharding(mesh, port.sharding);
      const arrays = known.get(port.sharding) ?? this.#block(message, mesh, grid, worker, sharding);
      known.set(port.sharding, arrays);
      return { port, sharding, block: arrays[port.array] };
    });
  }

  close(): void {
    for (const dataset of this.#datasets.values()) dataset.close();
    this.#datasets.clear();
  }

  #dataset(directory: string): Dataset {
    const known = this.#datasets.get(directory);
    if (known !== undefined) return known;
    const opened = openDataset(directory);
    this.#datasets.set(directory, opened);
    return opened;
  }

  #block(
    { directory, split, seed, step, batch, seq }: FeedMessage,
    mesh: Mesh,
    grid: WorkerGrid,
    worker: number,
    sharding: Sharding,
  ): Arrays {
    const positions = (dim: number, size: number): Int32Array =>
      blockPositions(mesh, grid, size, sharding.dims[dim] ?? [], (atom) => workerCoordinate(mesh, grid, worker, atom));
    const [rows, columns] = [positions(0, batch), positions(1, seq)];
    const dims = [rows.length, columns.length];
    const size = rows.length * columns.length;
    const [tokens, targets, mask] = [emptyNumbers("i32", size), emptyNumbers("i32", size), emptyNumbers("f32", size)];
    const dataset = this.#dataset(directory);
    let row = 0;
    for (const [from, to] of runsOf(rows)) {
      const part = dataset.batch({ split, seed, step, batch, seq, rows: [from, to] });
      for (let r = 0; r < to - from; r++, row++)
        columns.forEach((column, c) => {
          const [here, there] = [row * columns.length + c, r * seq + column];
          tokens[here] = must(part.tokens[there], "token");
          targets[here] = must(part.targets[there], "target");
          mask[here] = must(part.mask[there], "mask");
        });
    }
    return { tokens: arrayOf("i32", dims, tokens), targets: arrayOf("i32", dims, targets), mask: arrayOf("f32", dims, mask) };
  }
}

/** Ascending positions as runs of neighbours, `[from, to)`. */
export function runsOf(positions: Int32Array): [number, number][] {
  const runs: [number, number][] = [];
  for (const position of positions) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === position) last[1] = position + 1;
    else runs.push([position, position + 1]);
  }
  return runs;
}
