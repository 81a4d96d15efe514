import type { Sharding } from "@lapidary/ir";
import { assert } from "@lapidary/std";
import { type AtomId, type Mesh, printAtoms } from "@lapidary/topology";

/** The name that all shardings of a module refer to. */
export const meshName = "@mesh";

/** `sdy.mesh @mesh = <["data"=2, "model"=4]>`: devices are numbered row-major over the axes. */
export const sdyMesh = (mesh: Mesh): string => `sdy.mesh ${meshName} = <[${mesh.axes.map(({ name, size }) => `"${name}"=${size}`).join(", ")}]>`;

/** `{"data", "model":(1)2}`; an open dim ends in `?`, and propagation may split it further. */
function axisList(mesh: Mesh, atoms: readonly AtomId[], open: boolean): string {
  const axes = printAtoms(mesh, atoms).map((text) => {
    const [name, part] = text.split(":");
    return part === undefined ? `"${name}"` : `"${name}":${part}`;
  });
  return `{${[...axes, ...(open ? ["?"] : [])].join(", ")}}`;
}

/**
 * `<@mesh, [{"data"}, {}]>`: the sharding of a whole array.
 *
 * @param isOpen dims that propagation may split further
 */
export function sdySharding(mesh: Mesh, sharding: Sharding, isOpen: (dimension: number) => boolean = () => false): string {
  assert(sharding.unreduced.length === 0, "an array at a border of a program is no partial sum", sharding);
  return `<${meshName}, [${sharding.dims.map((atoms, d) => axisList(mesh, atoms, isOpen(d))).join(", ")}]>`;
}

/** Axes of size one have no atoms, yet they are axes of the mesh, and manual code is manual over them too. */
export const allAxes = (mesh: Mesh): string => `{${mesh.axes.map(({ name }) => `"${name}"`).join(", ")}}`;
