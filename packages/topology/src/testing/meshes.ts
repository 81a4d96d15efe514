import fc from "fast-check";
import { type AtomId, type Mesh, makeMesh } from "../mesh.js";

/** Meshes of one to four axes, with up to 12 chips along each. */
export const meshes: fc.Arbitrary<Mesh> = fc
  .array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 })
  .map((sizes) => makeMesh(sizes.map((size, i) => ({ name: `a${i}`, size }))));

/** The atoms of a mesh that the bits of `seed` choose, major to minor. */
export const someAtoms = (mesh: Mesh, seed: number): AtomId[] =>
  mesh.atoms.map((atom) => atom.id).filter((id) => ((seed >> (id % 31)) & 1) === 1);
