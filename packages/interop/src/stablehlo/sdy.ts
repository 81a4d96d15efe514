import type { Sharding } from "@lapidary/ir";
import { assert } from "@lapidary/std";
import { type AtomId, type Mesh, printAtoms } from "@lapidary/topology";

/** The name that all shardings of a module refer to. */
export const meshName = "@mesh";

/** `sdy.mesh @mesh = <["data"=2, "model"=4]>`: devices are numbered row-major over the axes. */
export const sdyMesh = (mesh: Mesh): string =>
  `sdy.mesh ${meshName} = <[${mesh.axes.map(({ name, size }) => `"${name}"=${size}`).join(", ")}]>`;

/** What the text of a sharding says of a dim besides its axes. */
export interface DimNotes {
  /** Propagation may split it further. */
  readonly open?: boolean;
  /** Shardy settles lower numbers first, as our own propagation does. */
  readonly priority?: number;
}

/** `{"data", "model":(1)2}`; an open dim ends in `?`, `p1` tells its priority. */
function axisList(mesh: Mesh, atoms: readonly AtomId[], { open = false, priority }: DimNotes): string {
  const axes = printAtoms(mesh, atoms).map((text) => {
    const [name, part] = text.split(":");
    return part === undefined ? `"${name}"` : `"${name}":${part}`;
  });
  // A closed dim without axes has nothing to spread.
  const suffix = priority === undefined || axes.length === 0 ? "" : `p${priority}`;
  return `{${[...axes, ...(open ? ["?"] : [])].join(", ")}}${suffix}`;
}

/** `<@mesh, [{"data"}p0, {}]>`: the sharding of a whole array. */
export function sdySharding(mesh: Mesh, sharding: Sharding, notes: readonly DimNotes[] = []): string {
  assert(sharding.unreduced.length === 0, "an array at a border of a program is no partial sum", sharding);
  return `<${meshName}, [${sharding.dims.map((atoms, d) => axisList(mesh, atoms, notes[d] ?? {})).join(", ")}]>`;
}

/** Axes of size one have no atoms, yet they are axes of the mesh, and manual code is manual over them too. */
export const allAxes = (mesh: Mesh): string => `{${mesh.axes.map(({ name }) => `"${name}"`).join(", ")}}`;
