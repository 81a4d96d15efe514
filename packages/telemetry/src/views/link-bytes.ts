import { bytesPerChip, collectivesOf } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type AtomId, atomOf, atomsSize, type Mesh, parseAtoms } from "@lapidary/topology";
import { operandOf } from "./values.js";

export interface LinkBytes {
  /** Along each dim of the slice. */
  readonly dims: number[];
  readonly dcn: number;
}

/**
 * The bytes that one chip sends in a step along each torus dim. Collectives over several dims use rings dim after dim, from the minor one on:
 *
 *     all_gather over 4×8, V bytes at the end:   along y first, 7 parts of V/32;   then along x, 3 parts of V/4
 *
 * The sum over the dims is the number of bytes of the collective.
 */
export function linkBytes(chip: Graph, sliceDims: readonly number[]): LinkBytes {
  const mesh = ensure(chip.mesh, "mesh");
  const dims = sliceDims.map(() => 0);
  let dcn = 0;
  for (const value of collectivesOf(chip)) {
    const total = bytesPerChip(value, operandOf(chip.values, value));
    const atoms = "axes" in value.attrs ? parseAtoms(mesh, value.attrs.axes) : [];
    const parts = splitByDim(mesh, atoms, sliceDims);
    const size = parts.reduce((n, part) => n * part, 1);
    // The all_gather of a dim multiplies the bytes of the dims after it.
    let gathered = 1;
    for (let d = parts.length - 1; d >= 0; d--) {
      const part = parts[d] ?? 1;
      const share = size === 1 ? 0 : (gathered * (part - 1)) / (size - 1);
      gathered *= part;
      if (d === 0) dcn += total * share;
      else dims[d - 1] = (dims[d - 1] ?? 0) + total * share;
    }
  }
  return { dims, dcn };
}

/** Chips along each dim that the product of `atoms` covers; index 0 is the pods. */
function splitByDim(mesh: Mesh, atoms: readonly AtomId[], sliceDims: readonly number[]): number[] {
  const strides = sliceDims.map((_, d) => sliceDims.slice(d + 1).reduce((n, size) => n * size, 1));
  const perPod = sliceDims.reduce((n, size) => n * size, 1);
  const groups: AtomId[][] = [[], ...sliceDims.map((): AtomId[] => [])];
  for (const id of atoms) {
    const { stride } = atomOf(mesh, id);
    const dim = stride >= perPod ? 0 : 1 + strides.findIndex((own) => stride >= own);
    groups[dim]?.push(id);
  }
  return groups.map((group) => atomsSize(mesh, group));
}
