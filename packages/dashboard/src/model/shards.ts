import { type Sharding, parseSharding } from "@lapidary/ir";
import { type AtomId, atomsSize, axisAtoms, type Mesh, meshSize, parseAtoms, replicaGroup, shardIndex } from "@lapidary/topology";

/**
 * Which part of a tensor each chip holds. Shards are numbered row-major over the dims; chips with equal numbers hold the same.
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
  /** Parts of each dim. */
  readonly parts: readonly number[];
  readonly shards: number;
  /** Chips that hold each shard. */
  readonly copies: number;
  /** Shard of each chip of the mesh. */
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
  return { dims, parts, shards, copies: chips / shards, shardOfChip, unreduced: sharding.unreduced.length > 0 };
}

/** Place of a shard along each dim. */
export function partsOfShard({ parts }: TensorLayout, shard: number): number[] {
  const places: number[] = [];
  let rest = shard;
  for (let d = parts.length - 1; d >= 0; d--) {
    const count = parts[d] ?? 1;
    places.unshift(rest % count);
    rest = Math.floor(rest / count);
  }
  return places;
}

/** Index ranges that a shard holds, one a dim, ends not included. */
export function rangesOfShard(layout: TensorLayout, shard: number): { readonly from: number; readonly to: number }[] {
  return partsOfShard(layout, shard).map((place, d) => {
    const size = (layout.dims[d] ?? 1) / (layout.parts[d] ?? 1);
    return { from: place * size, to: (place + 1) * size };
  });
}

/** `[0:128, 32:64]`, as slices are written. */
export const printRanges = (layout: TensorLayout, shard: number): string =>
  `[${rangesOfShard(layout, shard)
    .map(({ from, to }) => `${from}:${to}`)
    .join(", ")}]`;

/** The same for what one chip holds, without looking at the others. */
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
 * The two dims in which a layout is drawn, the one downwards first: those that are split, the rest when fewer are. A tensor of one dim is drawn as a row.
 */
export function drawnDims({ dims, parts }: TensorLayout): { readonly down: number | undefined; readonly across: number | undefined } {
  const split = dims.map((_, d) => d).filter((d) => (parts[d] ?? 1) > 1);
  const whole = dims.map((_, d) => d).filter((d) => (parts[d] ?? 1) === 1 && (dims[d] ?? 1) > 1);
  const chosen = [...split, ...whole.reverse()].slice(0, 2).sort((a, b) => a - b);
  return chosen.length < 2 ? { down: undefined, across: chosen[0] } : { down: chosen[0], across: chosen[1] };
}

/** Chips that differ from `chip` along the axes of a collective only, `data+model` joined by `+`. */
export function groupOfChip(mesh: Mesh, chip: number, axes: string): number[] {
  return replicaGroup(mesh, chip, parseAtoms(mesh, axes.split("+")));
}

/** Coordinate of a chip along each axis of the mesh, by name. */
export function meshCoordinates(mesh: Mesh, chip: number): { readonly axis: string; readonly at: number; readonly size: number }[] {
  return mesh.axes.map(({ name, size }) => ({ axis: name, at: shardIndex(mesh, chip, axisAtoms(mesh, name)), size }));
}
