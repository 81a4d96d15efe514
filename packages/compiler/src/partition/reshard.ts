import { assert, must } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, printAtoms } from "@lapidary/topology";
import { type GraphBuilder, type Phase, type Sharding, type Value, bytesOf, makeScope, sameAtoms, sameSharding } from "@lapidary/ir";

/**
 * The way from one sharding of a value to another, as collectives:
 *
 *  1. partial sums: reduce_scatter onto dims that the target splits by the same atoms next, all_reduce for the rest;
 *  2. atoms that move from the end of one dim's list to the end of another's: all_to_all;
 *  3. atoms that are free: shard_slice (no communication), before gathers, so that these move less;
 *  4. atoms that must go: all_gather of the dim's minor atoms;
 *  5. what has become free by then: shard_slice.
 *
 * The collectives belong to the block of the value, and to the pass that asks for them.
 *
 * A dim's list is changed at its minor end only, for there a chip's part is contiguous.
 */
export function reshard(
  g: GraphBuilder,
  mesh: Mesh,
  from: Value,
  target: Sharding,
  { cause, phase }: { readonly cause: string; readonly phase: Phase },
): Value {
  const scope = makeScope(phase, from.scope.block);
  const sharding = (): Sharding => must(current.sharding, "sharding");
  let current = from;

  const emit = (
    op: "all_gather" | "shard_slice",
    dimension: number,
    atoms: readonly AtomId[],
    dims: readonly (readonly AtomId[])[],
  ): void => {
    current = g.op(
      op,
      [current],
      { dimension, axes: printAtoms(mesh, atoms), size: atomsSize(mesh, atoms) },
      { name: from.name, scope, cause, role: from.role, sharding: { ...sharding(), dims } },
    );
  };
  const withDim = (d: number, atoms: readonly AtomId[]): AtomId[][] => sharding().dims.map((list, i) => (i === d ? [...atoms] : [...list]));

  // 1. partial sums
  const toReduce = sharding().unreduced.filter((atom) => !target.unreduced.includes(atom));
  if (toReduce.length > 0) {
    const kind = sharding().reduction;
    let rest = toReduce;
    target.dims.forEach((wanted, d) => {
      const own = sharding().dims[d] ?? [];
      if (!own.every((atom, i) => wanted[i] === atom)) return;
      const scattered: AtomId[] = [];
      for (const atom of wanted.slice(own.length)) {
        if (!rest.includes(atom)) break;
        scattered.push(atom);
      }
      if (scattered.length === 0) return;
      rest = rest.filter((atom) => !scattered.includes(atom));
      const next: Sharding = {
        dims: withDim(d, [...own, ...scattered]),
        unreduced: sharding().unreduced.filter((atom) => !scattered.includes(atom)),
        reduction: kind,
      };
      current = g.op(
        "reduce_scatter",
        [current],
        { dimension: d, axes: printAtoms(mesh, scattered), size: atomsSize(mesh, scattered), kind },
        { name: from.name, scope, cause, role: from.role, sharding: next },
      );
    });
    if (rest.length > 0) {
      const ordered = [...rest].sort((a, b) => a - b);
      const next: Sharding = {
        dims: sharding().dims,
        unreduced: sharding().unreduced.filter((atom) => !rest.includes(atom)),
        reduction: kind,
      };
      current = g.op(
        "all_reduce",
        [current],
        { axes: printAtoms(mesh, ordered), size: atomsSize(mesh, ordered), kind },
        { name: from.name, scope, cause, role: from.role, sharding: next },
      );
    }
  }

  // 2. moves from one dim to another
  for (let i = 0; i < target.dims.length; i++) {
    const surplus = afterCommonPrefix(sharding().dims[i] ?? [], target.dims[i] ?? []);
    if (surplus.length === 0) continue;
    for (let j = 0; j < target.dims.length; j++) {
      const have = sharding().dims[j] ?? [];
      const wanted = target.dims[j] ?? [];
      if (
        i === j ||
        !have.every((atom, k) => wanted[k] === atom) ||
        !sameAtoms(wanted.slice(have.length, have.length + surplus.length), surplus)
      )
        continue;
      const kept = (sharding().dims[i] ?? []).slice(0, -surplus.length);
      const dims = sharding().dims.map((list, d) => (d === i ? kept : d === j ? [...have, ...surplus] : list));
      current = g.op(
        "all_to_all",
        [current],
        { splitDimension: j, concatDimension: i, axes: printAtoms(mesh, surplus), size: atomsSize(mesh, surplus) },
        { name: from.name, scope, cause, role: from.role, sharding: { ...sharding(), dims } },
      );
      break;
    }
  }

  // 3. and 5. slices
  const sliceFree = (): void => {
    target.dims.forEach((wanted, d) => {
      const own = sharding().dims[d] ?? [];
      if (!own.every((atom, i) => wanted[i] === atom)) return;
      const used = [...sharding().dims.flat(), ...sharding().unreduced];
      const free: AtomId[] = [];
      for (const atom of wanted.slice(own.length)) {
        if (used.includes(atom)) break;
        free.push(atom);
      }
      if (free.length > 0) emit("shard_slice", d, free, withDim(d, [...own, ...free]));
    });
  };
  sliceFree();

  // 4. gathers
  target.dims.forEach((wanted, d) => {
    const own = sharding().dims[d] ?? [];
    const surplus = afterCommonPrefix(own, wanted);
    if (surplus.length > 0) emit("all_gather", d, surplus, withDim(d, own.slice(0, -surplus.length)));
  });
  sliceFree();

  assert(sameSharding(sharding(), target), "a reshard reaches its target", from.name, sharding(), target);
  return current;
}

/** The atoms of `own` behind what it shares with `wanted`. */
function afterCommonPrefix(own: readonly AtomId[], wanted: readonly AtomId[]): AtomId[] {
  let n = 0;
  while (n < own.length && own[n] === wanted[n]) n++;
  return own.slice(n);
}

/**
 * Bytes per chip over links of a collective, by the ring: all_gather and reduce_scatter (n−1)/n of the full array, all_reduce twice that,
 * all_to_all (n−1)/n of the part.
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
    default:
      return 0;
  }
}
