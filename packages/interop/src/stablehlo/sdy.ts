import type { Sharding } from "@lapidary/ir";
import { assert } from "@lapidary/std";
import { type AtomId, type Mesh, printAtoms } from "@lapidary/topology";

/** The name that all shardings of a module refer to. */
const meshName = "@mesh";

/** `sdy.mesh @mesh = <["data"=2, "model"=4]>`: devices are numbered row-major over the axes. */
export const sdyMesh = (mesh: Mesh): string =>
  `sdy.mesh ${meshName} = <[${mesh.axes.map(({ name, size }) => `"${name}"=${size}`).join(", ")}]>`;

/** The attributes of a dim in the text of a sharding, in addition to its axes. */
export interface DimNotes {
  /** Propagation may split it further. */
  readonly open?: boolean;
  /** Shardy propagates lower numbers first, like Lapidary. */
  readonly priority?: number;
}

/** `{"data", "model":(1)2}`; an open dim ends in `?`, and `p1` is its priority. */
function axisList(mesh: Mesh, atoms: readonly AtomId[], { open = false, priority }: DimNotes): string {
  const axes = printAtoms(mesh, atoms).map((text) => {
    const [name, part] = text.split(":");
    return part === undefined ? `"${name}"` : `"${name}":${part}`;
  });
  // A closed dim without axes has nothing to propagate.
  const suffix = priority === undefined || axes.length === 0 ? "" : `p${priority}`;
  return `{${[...axes, ...(open ? ["?"] : [])].join(", ")}}${suffix}`;
}

/** `<@mesh, [{"data"}p0, {}]>`: the sharding of a global array. */
export function sdySharding(mesh: Mesh, sharding: Sharding, notes: readonly DimNotes[] = []): string {
  assert(sharding.unreduced.length === 0, "an input or output of a program is not a partial sum", sharding);
  return `<${meshName}, [${sharding.dims.map((atoms, d) => axisList(mesh, atoms, notes[d] ?? {})).join(", ")}]>`;
}

/** All axes of the mesh, including axes of size one, which have no sub-axes: a manual computation lists them too. */
export const allAxes = (mesh: Mesh): string => `{${mesh.axes.map(({ name }) => `"${name}"`).join(", ")}}`;
