import {
  type AtomId,
  atomsSize,
  axisAtoms,
  type Mesh,
  meshSize,
  parseAtoms,
  parseSharding,
  replicaGroup,
  type Sharding,
  shardIndex,
} from "@lapidary/api/layouts";

/**
 * The shard of a tensor on each chip. Shards are numbered row-major over the dims; chips with the same shard number store the same data.
 *
 *     f32[512,64] as [model, data], model=4, data=2
 *
 *              data 0      data 1
 *     model 0  │ shard 0 │ shard 1 │    dim 0: 4 parts of 128
 *     model 1  │ shard 2 │ shard 3 │    dim 1: 2 parts of 32
 *     …
 */
export interface TensorLayout {
  readonly dims: readonly number[];
  /** Number of shards along each dim. */
  readonly parts: readonly number[];
  readonly shards: number;
  /** Number of chips with the same shard. */
  readonly chipsPerShard: number;
  /** The shard of each chip of the mesh. */
  readonly shardOfChip: Uint32Array;
  readonly unreduced: boolean;
}

export function tensorLayout(mesh: Mesh, dims: readonly number[], text: string): TensorLayout {
  const sharding: Sharding = parseSharding(mesh, text);
  const parts = dims.map((_, d) => atomsSize(mesh, sharding.dims[d] ?? []));
  const shards = parts.reduce((n, part) => n * part, 1);
  const chips = meshSize(mesh);
  const shardOfChip = Uint32Array.from({ length: chips }, (_, chip) =>
    sharding.dims.reduce((n, atoms: readonly AtomId[]) => n * atomsSize(mesh, atoms) + shardIndex(mesh, chip, atoms), 0),
  );
  return { dims, parts, shards, chipsPerShard: chips / shards, shardOfChip, unreduced: sharding.unreduced.length > 0 };
}

/** The position of a shard along each dim. */
export function positionOfShard({ parts }: TensorLayout, shard: number): number[] {
  const position: number[] = [];
  let rest = shard;
  for (let d = parts.length - 1; d >= 0; d--) {
    const count = parts[d] ?? 1;
    position.unshift(rest % count);
    rest = Math.floor(rest / count);
  }
  return position;
}

/** The index range of a shard along each dim, ends excluded. */
export function rangesOfShard(layout: TensorLayout, shard: number): { readonly from: number; readonly to: number }[] {
  return positionOfShard(layout, shard).map((place, d) => {
    const size = (layout.dims[d] ?? 1) / (layout.parts[d] ?? 1);
    return { from: place * size, to: (place + 1) * size };
  });
}

/** The index ranges of a shard, written as slices: `[0:128, 32:64]`. */
export const printRanges = (layout: TensorLayout, shard: number): string =>
  `[${rangesOfShard(layout, shard)
    .map(({ from, to }) => `${from}:${to}`)
    .join(", ")}]`;

/** The index ranges of the shard of one chip, computed without the layout of the others. */
export function printRangesOfChip(mesh: Mesh, dims: readonly number[], text: string, chip: number): string {
  const sharding = parseSharding(mesh, text);
  const ranges = dims.map((size, d) => {
    const atoms = sharding.dims[d] ?? [];
    const part = size / atomsSize(mesh, atoms);
    const place = shardIndex(mesh, chip, atoms);
    return `${place * part}:${(place + 1) * part}`;
  });
  return `[${ranges.join(", ")}]`;
}

export const chipsOfShard = ({ shardOfChip }: TensorLayout, shard: number): number[] =>
  [...shardOfChip.keys()].filter((chip) => shardOfChip[chip] === shard);

/**
 * The dims in which a layout is drawn: the first two sharded dims, filled up with others if fewer are sharded. A tensor of one dim is drawn as a row.
 */
export function visibleDims({ dims, parts }: TensorLayout): { readonly down: number | undefined; readonly across: number | undefined } {
  const split = dims.map((_, d) => d).filter((d) => (parts[d] ?? 1) > 1);
  const whole = dims.map((_, d) => d).filter((d) => (parts[d] ?? 1) === 1 && (dims[d] ?? 1) > 1);
  const chosen = [...split, ...whole.reverse()].slice(0, 2).sort((a, b) => a - b);
  return chosen.length < 2 ? { down: undefined, across: chosen[0] } : { down: chosen[0], across: chosen[1] };
}

/** The chips that differ from `chip` only along the axes of a collective, joined by `+`: `data+model`. */
export function groupOfChip(mesh: Mesh, chip: number, axes: string): number[] {
  return replicaGroup(mesh, chip, parseAtoms(mesh, axes.split("+")));
}

/** The coordinate of a chip along each axis of the mesh. */
export function meshCoordinates(mesh: Mesh, chip: number): { readonly axis: string; readonly at: number; readonly size: number }[] {
  return mesh.axes.map(({ name, size }) => ({ axis: name, at: shardIndex(mesh, chip, axisAtoms(mesh, name)), size }));
}
