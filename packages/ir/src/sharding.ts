import { assert } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, parseAtoms, printAtoms } from "@lapidary/topology";

export type ReductionKind = "sum" | "max" | "min";

/**
 * How a global value is distributed over a mesh: for each dim the atoms that split it, major to minor, and the atoms over
 * which it is **unreduced**. Over these every chip has a partial value, and the value is their `reduction`. Over all other
 * atoms it is replicated. A per-chip value *varies* over the atoms that split it and over its unreduced atoms.
 *
 * Invariant: no atom occurs twice.
 */
export interface Sharding {
  readonly dims: readonly (readonly AtomId[])[];
  readonly unreduced: readonly AtomId[];
  /** Meaningful only while `unreduced` is not empty. */
  readonly reduction: ReductionKind;
}

export const replicated = (rank: number): Sharding => ({ dims: Array.from({ length: rank }, () => []), unreduced: [], reduction: "sum" });

/** Dims of one chip's part. The atoms of a dim must divide it. */
export function localDims(mesh: Mesh, dims: readonly number[], sharding: Sharding): number[] {
  return dims.map((d, i) => {
    const parts = atomsSize(mesh, sharding.dims[i] ?? []);
    assert(d % parts === 0, "atoms divide their dim", { dims, sharding, i });
    return d / parts;
  });
}

/** Inverse of `localDims`. */
export const globalDims = (mesh: Mesh, dims: readonly number[], sharding: Sharding): number[] =>
  dims.map((d, i) => d * atomsSize(mesh, sharding.dims[i] ?? []));

export const sameAtoms = (a: readonly AtomId[], b: readonly AtomId[]): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

export const sameAtomSet = (a: readonly AtomId[], b: readonly AtomId[]): boolean => a.length === b.length && a.every((x) => b.includes(x));

export function sameSharding(a: Sharding, b: Sharding): boolean {
  return (
    a.dims.length === b.dims.length &&
    a.dims.every((atoms, i) => sameAtoms(atoms, b.dims[i] ?? [])) &&
    sameAtomSet(a.unreduced, b.unreduced) &&
    (a.unreduced.length === 0 || a.reduction === b.reduction)
  );
}

/** Atoms that a per-chip value varies over. */
const varyingAtoms = (sharding: Sharding): AtomId[] => [...sharding.dims.flat(), ...sharding.unreduced];

export function verifySharding(sharding: Sharding, rank: number): void {
  assert(sharding.dims.length === rank, "a sharding has one entry per dim", sharding, rank);
  const all = varyingAtoms(sharding);
  assert(new Set(all).size === all.length, "no atom occurs twice in a sharding", sharding);
}

/** `[data, -, model:(1)2] unreduced model:(2)8` (sum is not printed, `max` and `min` are). */
export function printSharding(mesh: Mesh, sharding: Sharding): string {
  const dims = sharding.dims.map((atoms) => printAtoms(mesh, atoms).join("+") || "-");
  const reduction = sharding.reduction === "sum" ? "" : `-${sharding.reduction}`;
  const unreduced =
    sharding.unreduced.length === 0
      ? ""
      : ` unreduced${reduction} ${printAtoms(
          mesh,
          [...sharding.unreduced].sort((a, b) => a - b),
        ).join("+")}`;
  return `[${dims.join(", ")}]${unreduced}`;
}

export function parseSharding(mesh: Mesh, text: string): Sharding {
  const match = /^\[([^\]]*)\](?: unreduced(?:-(max|min))? (\S+))?$/.exec(text.trim());
  assert(match !== null, "text of a sharding", text);
  const inner = (match[1] ?? "").trim();
  const dims = inner === "" ? [] : inner.split(",").map((part) => (part.trim() === "-" ? [] : parseAtoms(mesh, part.trim().split("+"))));
  return {
    dims,
    unreduced: match[3] === undefined ? [] : parseAtoms(mesh, match[3].split("+")),
    reduction: (match[2] as ReductionKind | undefined) ?? "sum",
  };
}
