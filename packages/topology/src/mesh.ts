import { LapidaryError, ensure, suggest } from "@lapidary/std";

/**
 * A mesh is a list of named axes, major to minor. Chips of a slice have row-major order over the axes; pods are on the
 * first axes. Each axis is refined into **atoms**, its prime factors, major to minor. An atom is a sub-axis of Shardy of
 * prime size:
 *
 *     model=16  →  atoms 2·2·2·2      a dim of size 4 can use the first two: the sub-axis model:(1)4
 *
 * All stages of the compiler use atoms. Text and JSON name axes: `model`, or `model:(pre)size` for a proper part, as Shardy
 * prints sub-axes.
 *
 * Invariants
 * - axis names are distinct, atoms are numbered major to minor over the whole mesh;
 * - the chip at mesh coordinates (a₀, a₁, …) is number a₀·|a₁|·… + a₁·… + …, row-major.
 */
export interface Mesh {
  readonly axes: readonly MeshAxis[];
  readonly atoms: readonly Atom[];
}

export interface MeshAxis {
  readonly name: string;
  readonly size: number;
}

/** Index into `Mesh.atoms`. */
export type AtomId = number;

export interface Atom {
  readonly id: AtomId;
  readonly axis: string;
  /** A prime. */
  readonly size: number;
  /** Product of the sizes of the more major atoms of the same axis. */
  readonly preSize: number;
  /** Difference of the chip numbers of two neighbours along this atom. */
  readonly stride: number;
}

function primeFactors(n: number): number[] {
  const factors: number[] = [];
  for (let p = 2, rest = n; rest > 1; p++)
    while (rest % p === 0) {
      factors.push(p);
      rest /= p;
    }
  return factors;
}

/** Builds a mesh from axis sizes in order, `{ data: 16, model: 16 }`. */
export function makeMesh(sizes: Readonly<Record<string, number>> | readonly MeshAxis[]): Mesh {
  const axes: MeshAxis[] = Array.isArray(sizes)
    ? [...(sizes as readonly MeshAxis[])]
    : Object.entries(sizes as Record<string, number>).map(([name, size]) => ({ name, size }));
  for (const { name, size } of axes) {
    if (!/^[a-z][a-z0-9_]*$/.test(name))
      throw new LapidaryError({
        code: "LAP_MESH_AXIS_NAME",
        message: `"${name}" cannot name a mesh axis`,
        location: "mesh",
      });
    if (!Number.isInteger(size) || size < 1 || size > 1 << 20)
      throw new LapidaryError({
        code: "LAP_MESH_AXIS_SIZE",
        message: `mesh axis ${name} has size ${size}`,
        location: `mesh.${name}`,
      });
  }
  if (new Set(axes.map((axis) => axis.name)).size !== axes.length)
    throw new LapidaryError({
      code: "LAP_MESH_AXIS_TWICE",
      message: "a mesh axis is named twice",
      location: "mesh",
    });
  const atoms: Atom[] = [];
  let stride = axes.reduce((n, axis) => n * axis.size, 1);
  for (const axis of axes) {
    let preSize = 1;
    for (const size of primeFactors(axis.size)) {
      stride /= size;
      atoms.push({ id: atoms.length, axis: axis.name, size, preSize, stride });
      preSize *= size;
    }
  }
  return { axes, atoms };
}

/** `"data=16,model=16"` → mesh; the text form in job files and programs (separated by commas or blanks). */
export function parseMesh(text: string): Mesh {
  const axes = text
    .split(/[\s,]/)
    .filter((part) => part !== "")
    .map((part) => {
      const match = /^([a-z][a-z0-9_]*)=(\d+)$/.exec(part);
      if (match === null)
        throw new LapidaryError({
          code: "LAP_MESH_TEXT",
          message: `"${part}" is not a mesh axis`,
          location: "mesh",
        });
      return { name: ensure(match[1], "axis name"), size: Number(match[2]) };
    });
  return makeMesh(axes);
}

export const printMesh = (mesh: Mesh, separator = ","): string => mesh.axes.map((axis) => `${axis.name}=${axis.size}`).join(separator);

export const meshSize = (mesh: Mesh): number => mesh.axes.reduce((n, axis) => n * axis.size, 1);

export const atomOf = (mesh: Mesh, id: AtomId): Atom => ensure(mesh.atoms[id], `atom ${id}`);

/** Chips along the product of `atoms`. */
export const atomsSize = (mesh: Mesh, atoms: readonly AtomId[]): number => atoms.reduce((n, id) => n * atomOf(mesh, id).size, 1);

/** All atoms of an axis, major to minor. The error for an unknown axis suggests the nearest name. */
export function axisAtoms(mesh: Mesh, axis: string, location = "mesh"): AtomId[] {
  if (!mesh.axes.some((a) => a.name === axis)) {
    const near = suggest(
      axis,
      mesh.axes.map((a) => a.name),
    );
    throw new LapidaryError({
      code: "LAP_MESH_AXIS_UNKNOWN",
      message: `the mesh has no axis "${axis}" (it has ${printMesh(mesh) || "none"})`,
      location,
      remedy: near === undefined ? "name one of the mesh's axes" : `did you mean "${near}"?`,
    });
  }
  return mesh.atoms.filter((atom) => atom.axis === axis).map((atom) => atom.id);
}

/** Text of an ordered list of atoms. Consecutive atoms of one axis are merged: `["data", "model:(1)2"]`. */
export function printAtoms(mesh: Mesh, atoms: readonly AtomId[]): string[] {
  const parts: string[] = [];
  for (let i = 0; i < atoms.length; ) {
    const first = atomOf(mesh, ensure(atoms[i], "atom"));
    let size = first.size;
    let j = i + 1;
    for (; j < atoms.length; j++) {
      const next = atomOf(mesh, ensure(atoms[j], "atom"));
      if (next.axis !== first.axis || next.preSize !== first.preSize * size) break;
      size *= next.size;
    }
    const axis = ensure(
      mesh.axes.find((a) => a.name === first.axis),
      "axis",
    );
    parts.push(size === axis.size ? axis.name : `${axis.name}:(${first.preSize})${size}`);
    i = j;
  }
  return parts;
}

/** Inverse of `printAtoms`. */
export function parseAtoms(mesh: Mesh, parts: readonly string[]): AtomId[] {
  return parts.flatMap((part) => {
    const match = /^([a-z][a-z0-9_]*)(?::\((\d+)\)(\d+))?$/.exec(part);
    const bad = (): never => {
      throw new LapidaryError({
        code: "LAP_MESH_SUBAXIS",
        message: `"${part}" is not an axis or sub-axis of ${printMesh(mesh)}`,
        location: "sharding",
      });
    };
    if (match === null) return bad();
    const atoms = axisAtoms(mesh, ensure(match[1], "axis"));
    if (match[2] === undefined) return atoms;
    const [pre, size] = [Number(match[2]), Number(match[3])];
    const chosen = atoms.filter((id) => atomOf(mesh, id).preSize >= pre && atomOf(mesh, id).preSize < pre * size);
    if (atomsSize(mesh, chosen) !== size || chosen.length === 0 || atomOf(mesh, ensure(chosen[0], "atom")).preSize !== pre) return bad();
    return chosen;
  });
}

/** Coordinate of chip number `chip` along one atom. */
export function atomCoordinate(mesh: Mesh, chip: number, id: AtomId): number {
  const atom = atomOf(mesh, id);
  return Math.floor(chip / atom.stride) % atom.size;
}

/** Index of a chip among the shards of a dim split by `atoms`, major to minor. */
export function shardIndex(mesh: Mesh, chip: number, atoms: readonly AtomId[]): number {
  return atoms.reduce((index, id) => index * atomOf(mesh, id).size + atomCoordinate(mesh, chip, id), 0);
}

/** The chips that differ from `chip` only along `atoms`, including `chip`, in the order of their coordinates along `atoms`. */
export function replicaGroup(mesh: Mesh, chip: number, atoms: readonly AtomId[]): number[] {
  const base = atoms.reduce((c, id) => c - atomCoordinate(mesh, chip, id) * atomOf(mesh, id).stride, chip);
  let group = [base];
  for (const id of atoms) {
    const { size, stride } = atomOf(mesh, id);
    group = group.flatMap((c) => Array.from({ length: size }, (_, i) => c + i * stride));
  }
  return group;
}

/** All groups over `atoms`. Each chip is in one group. */
export function replicaGroups(mesh: Mesh, atoms: readonly AtomId[]): number[][] {
  const groups: number[][] = [];
  for (let chip = 0; chip < meshSize(mesh); chip++)
    if (atoms.every((id) => atomCoordinate(mesh, chip, id) === 0)) groups.push(replicaGroup(mesh, chip, atoms));
  return groups;
}

/** Rejects a mesh that does not fill its slice. */
export function checkMeshFills(mesh: Mesh, chips: number, location = "mesh"): void {
  if (meshSize(mesh) === chips) return;
  throw new LapidaryError({
    code: "LAP_MESH_DOES_NOT_FILL",
    message: `the mesh ${printMesh(mesh)} has ${meshSize(mesh)} chips, its slice ${chips}`,
    location,
    remedy: `choose axis sizes whose product is ${chips}${meshHint(mesh, chips)}, or a slice of ${meshSize(mesh)} chips`,
  });
}

/** A change of one axis that makes the product equal to the number of chips; undefined if there is none. */
function meshHint(mesh: Mesh, chips: number): string {
  for (const axis of mesh.axes) {
    const others = meshSize(mesh) / axis.size;
    if (chips % others === 0)
      return `, such as ${printMesh(makeMesh(mesh.axes.map((a) => (a === axis ? { ...a, size: chips / others } : a))))}`;
  }
  return "";
}
