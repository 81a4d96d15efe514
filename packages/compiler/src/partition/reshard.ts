import { assert, ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, printAtoms } from "@lapidary/topology";
import {
  type CollectiveAttrs,
  type CollectiveName,
  type GraphBuilder,
  type OpAttrs,
  type Phase,
  type RegionScope,
  type Scope,
  type Sharding,
  type Value,
  type ValueOf,
  bytesOf,
  makeScope,
  sameAtoms,
  sameSharding,
  shiftPieces,
} from "@lapidary/ir";

interface ReshardRequest {
  readonly cause: string;
  readonly phase: Phase;
  /** The region that computes the collectives. */
  readonly region: RegionScope | undefined;
  readonly line?: string | undefined;
}

/**
 * Changes the sharding of a value by collectives:
 *
 *  1. partial sums: reduce_scatter onto dims that the target splits by the same atoms next, all_reduce for the rest;
 *  2. atoms that move from the end of one dim's list to the end of another's: all_to_all;
 *  3. atoms that are free: shard_slice (no communication), before gathers, so that these move less;
 *  4. atoms that the target does not have: all_gather of the dim's minor atoms;
 *  5. atoms that have become free: shard_slice.
 *
 * The collectives belong to the block of the value, and to the pass that requests them.
 *
 * Only the minor end of a dim's list changes, because a chip's part is contiguous there.
 */
export function reshard(g: GraphBuilder, mesh: Mesh, from: Value, target: Sharding, { cause, phase, region, line }: ReshardRequest): Value {
  const path = new ReshardPath(g, mesh, from, target, {
    cause,
    scope: makeScope({ ...from.scope, phase, region, line: line ?? from.scope.line }),
  });
  path.reducePartialSums();
  path.moveBetweenDims();
  path.sliceFreeAtoms();
  path.gather();
  path.sliceFreeAtoms();
  assert(sameSharding(path.sharding, target), "a reshard reaches its target", from.name, path.sharding, target);
  return path.current;
}

/** The steps from a value to a target sharding. Each step emits collectives and sets `current` to their result. */
class ReshardPath {
  current: Value;

  constructor(
    private readonly g: GraphBuilder,
    private readonly mesh: Mesh,
    private readonly from: Value,
    private readonly target: Sharding,
    private readonly why: { readonly cause: string; readonly scope: Scope },
  ) {
    this.current = from;
  }

  get sharding(): Sharding {
    return ensure(this.current.sharding, "sharding");
  }

  /** Step 1: reduce_scatter onto dims that the target splits next by the same atoms, all_reduce for the rest. */
  reducePartialSums(): void {
    const { target } = this;
    let rest = this.sharding.unreduced.filter((atom) => !target.unreduced.includes(atom));
    if (rest.length === 0) return;
    const kind = this.sharding.reduction;
    target.dims.forEach((wanted, d) => {
      const own = this.sharding.dims[d] ?? [];
      const scattered = startsWith(wanted, own) ? takeWhile(wanted.slice(own.length), (atom) => rest.includes(atom)) : [];
      if (scattered.length === 0) return;
      rest = rest.filter((atom) => !scattered.includes(atom));
      this.#emit(
        "reduce_scatter",
        { dimension: d, ...this.#axes(scattered), kind },
        this.#reduced(scattered, this.#withDim(d, [...own, ...scattered])),
      );
    });
    if (rest.length === 0) return;
    const ordered = [...rest].sort((a, b) => a - b);
    this.#emit("all_reduce", { ...this.#axes(ordered), kind }, this.#reduced(rest, this.sharding.dims));
  }

  /** Step 2: atoms at the end of one dim's list that the target has next on another dim. */
  moveBetweenDims(): void {
    const { target } = this;
    target.dims.forEach((wantedHere, i) => {
      const surplus = afterCommonPrefix(this.sharding.dims[i] ?? [], wantedHere);
      if (surplus.length === 0) return;
      const j = target.dims.findIndex((wanted, d) => {
        const have = this.sharding.dims[d] ?? [];
        return d !== i && startsWith(wanted, have) && sameAtoms(wanted.slice(have.length, have.length + surplus.length), surplus);
      });
      if (j < 0) return;
      const kept = (this.sharding.dims[i] ?? []).slice(0, -surplus.length);
      const dims = this.sharding.dims.map((list, d) => (d === i ? kept : d === j ? [...list, ...surplus] : list));
      this.#emit("all_to_all", { splitDimension: j, concatDimension: i, ...this.#axes(surplus) }, { ...this.sharding, dims });
    });
  }

  /** Steps 3 and 5. */
  sliceFreeAtoms(): void {
    this.target.dims.forEach((wanted, d) => {
      const own = this.sharding.dims[d] ?? [];
      if (!startsWith(wanted, own)) return;
      const used = [...this.sharding.dims.flat(), ...this.sharding.unreduced];
      const free = takeWhile(wanted.slice(own.length), (atom) => !used.includes(atom));
      if (free.length === 0) return;
      const dims = this.#withDim(d, [...own, ...free]);
      this.#emit("shard_slice", { dimension: d, ...this.#axes(free) }, { ...this.sharding, dims });
    });
  }

  /** Step 4. */
  gather(): void {
    this.target.dims.forEach((wanted, d) => {
      const own = this.sharding.dims[d] ?? [];
      const surplus = afterCommonPrefix(own, wanted);
      if (surplus.length === 0) return;
      const dims = this.#withDim(d, own.slice(0, -surplus.length));
      this.#emit("all_gather", { dimension: d, ...this.#axes(surplus) }, { ...this.sharding, dims });
    });
  }

  #axes(atoms: readonly AtomId[]): CollectiveAttrs {
    return { axes: printAtoms(this.mesh, atoms), size: atomsSize(this.mesh, atoms) };
  }

  #withDim(d: number, atoms: readonly AtomId[]): (readonly AtomId[])[] {
    return this.sharding.dims.map((list, i) => (i === d ? atoms : list));
  }

  /** The sharding once the partial sums over `atoms` are reduced. */
  #reduced(atoms: readonly AtomId[], dims: readonly (readonly AtomId[])[]): Sharding {
    const { unreduced, reduction } = this.sharding;
    return { dims, unreduced: unreduced.filter((atom) => !atoms.includes(atom)), reduction };
  }

  #emit<O extends CollectiveName>(op: O, attrs: OpAttrs[O], sharding: Sharding): void {
    this.current = this.g.op(op, [this.current], attrs, { name: this.from.name, role: this.from.role, ...this.why, sharding });
  }
}

const startsWith = (list: readonly AtomId[], prefix: readonly AtomId[]): boolean => prefix.every((atom, i) => list[i] === atom);

function takeWhile<T>(list: readonly T[], test: (item: T) => boolean): T[] {
  const end = list.findIndex((item) => !test(item));
  return list.slice(0, end < 0 ? list.length : end);
}

/** The atoms of `own` after its common prefix with `wanted`. */
function afterCommonPrefix(own: readonly AtomId[], wanted: readonly AtomId[]): AtomId[] {
  let n = 0;
  while (n < own.length && own[n] === wanted[n]) n++;
  return own.slice(n);
}

/**
 * Bytes that a chip sends over links in a collective on a ring of n chips: all_gather and reduce_scatter (n−1)/n of the full
 * array, all_reduce twice that, all_to_all (n−1)/n of the chip's part, collective_permute the rows that leave the chip.
 */
export function bytesPerChip(value: Value, input: Value): number {
  switch (value.op) {
    case "all_gather":
      return (bytesOf(value.type) * (value.attrs.size - 1)) / value.attrs.size;
    case "reduce_scatter":
      return (bytesOf(input.type) * (value.attrs.size - 1)) / value.attrs.size;
    case "all_reduce":
      return (2 * bytesOf(input.type) * (value.attrs.size - 1)) / value.attrs.size;
    case "all_to_all":
      return (bytesOf(input.type) * (value.attrs.size - 1)) / value.attrs.size;
    case "collective_permute":
      return permutedBytes(value, input);
    default:
      return 0;
  }
}

/** Bytes of the rows that a chip inside the dim sends to other chips. */
function permutedBytes({ attrs }: ValueOf<"collective_permute">, { type }: Value): number {
  const rows = type.dims[attrs.dimension] ?? 1;
  const most = Math.max(
    ...Array.from({ length: attrs.size }, (_, part) =>
      shiftPieces(attrs.size, rows, part, attrs).reduce(
        (sum, piece) => (piece.part === undefined || piece.part === part ? sum : sum + piece.limit - piece.start),
        0,
      ),
    ),
  );
  return (bytesOf(type) / rows) * most;
}
