import { blockPositions } from "@lapidary/compiler";
import { type AnyDataset, openDataset, RowDataset } from "@lapidary/data";
import { printSharding, sameDims } from "@lapidary/ir";
import {
  type ArrayData,
  type BlockLayout,
  DecodeFailure,
  type FeedMessage,
  type FeedPort,
  type GroupLayout,
  type WorkerRank,
  arrayLayout,
  arrayOf,
  blockOf,
  checkTensor,
  emptyNumbers,
} from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { workerCoordinate } from "@lapidary/topology";

type Arrays = Readonly<Record<Exclude<FeedPort["array"], "segments">, ArrayData> & { segments: ArrayData | undefined }>;

/**
 * Reads this worker's rows of a batch. If the sequence is sharded too, it takes this worker's columns of them. A batch is a pure function of
 * (seed, step, row), so that workers need no data of one another.
 */
export class BatchReader {
  readonly #datasets = new Map<string, AnyDataset>();

  /** The block of each array that the message asks for, in its order. @throws DecodeFailure if the mesh cannot split an array so */
  read(message: FeedMessage, group: GroupLayout, worker: WorkerRank): { readonly port: FeedPort; readonly block: ArrayData }[] {
    const known = new Map<string, Arrays>();
    return message.into.map((port) => {
      checkPort(message, port);
      checkTensor(group.mesh, port.tensor);
      const key = printSharding(group.mesh, port.tensor.sharding);
      const arrays = known.get(key) ?? this.#block(message, blockOf(arrayLayout(group, port.tensor), worker));
      known.set(key, arrays);
      const block = arrays[port.array];
      if (block === undefined) throw new DecodeFailure("an array of the dataset, which has no segments", port.array).within("array");
      return { port, block };
    });
  }

  close(): void {
    for (const dataset of this.#datasets.values()) dataset.close();
    this.#datasets.clear();
  }

  #dataset(directory: string): AnyDataset {
    const known = this.#datasets.get(directory);
    if (known !== undefined) return known;
    const opened = openDataset(directory);
    this.#datasets.set(directory, opened);
    return opened;
  }

  #block({ directory, split, seed, step, batch, seq }: FeedMessage, { mesh, grid, worker, sharding }: BlockLayout): Arrays {
    const positions = (dim: number, size: number): Int32Array =>
      blockPositions(mesh, grid, size, sharding.dims[dim] ?? [], (atom) => workerCoordinate(mesh, grid, worker, atom));
    const [rows, columns] = [positions(0, batch), positions(1, seq)];
    const dims = [rows.length, columns.length];
    const size = rows.length * columns.length;
    const [tokens, targets, mask] = [emptyNumbers("i32", size), emptyNumbers("i32", size), emptyNumbers("f32", size)];
    const dataset = this.#dataset(directory);
    const segments = dataset instanceof RowDataset ? emptyNumbers("i32", size) : undefined;
    let row = 0;
    for (const [from, to] of rangesOf(rows)) {
      const part = dataset.batch({ split, seed, step, batch, seq, rows: [from, to] });
      for (let r = 0; r < to - from; r++, row++)
        columns.forEach((column, c) => {
          const [here, there] = [row * columns.length + c, r * seq + column];
          tokens[here] = ensure(part.tokens[there], "token");
          targets[here] = ensure(part.targets[there], "target");
          mask[here] = ensure(part.mask[there], "mask");
          if (segments !== undefined) segments[here] = ensure(part.segments?.[there], "segment");
        });
    }
    return {
      tokens: arrayOf("i32", dims, tokens),
      targets: arrayOf("i32", dims, targets),
      mask: arrayOf("f32", dims, mask),
      segments: segments === undefined ? undefined : arrayOf("i32", dims, segments),
    };
  }
}

/** Checks that an array has the dtype of its kind and the dims of the batch. @throws DecodeFailure */
function checkPort({ batch, seq }: FeedMessage, { array, tensor: { dtype, dims } }: FeedPort): void {
  const expected = array === "mask" ? "f32" : "i32";
  if (dtype !== expected) throw new DecodeFailure(`${expected} for ${array}`, dtype).within("tensor.dtype");
  if (!sameDims(dims, [batch, seq])) throw new DecodeFailure(`the dims of the batch, ${batch} and ${seq}`, dims).within("tensor.dims");
}

/** Ascending positions as ranges of consecutive positions, `[from, to)`. */
export function rangesOf(positions: Int32Array): [number, number][] {
  const ranges: [number, number][] = [];
  for (const position of positions) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === position) last[1] = position + 1;
    else ranges.push([position, position + 1]);
  }
  return ranges;
}
