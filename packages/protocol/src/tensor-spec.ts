import { type Dtype, type ReductionKind, type Sharding, type TensorType, type ValueRole, dtypes, valueRoles } from "@lapidary/ir";
import type { AtomId, Mesh } from "@lapidary/topology";
import { type Decoder, DecodeFailure, branded, count, list, oneOf, optional, record, text } from "./decode.js";
import type { Handle } from "./ids.js";

/** An array that workers hold: its id, the type of the whole array, its sharding, and its role in training. It is also the JSON form. */
export interface TensorSpec {
  readonly id: Handle;
  readonly dtype: Dtype;
  /** Of the whole array. */
  readonly dims: readonly number[];
  readonly sharding: Sharding;
  /** Absent: an array outside of training. */
  readonly role?: ValueRole;
}

const reductions = ["sum", "max", "min"] as const satisfies readonly ReductionKind[];

const atoms: Decoder<readonly AtomId[]> = list(count);

const shardingDecoder = record<Sharding>({ dims: list(atoms), unreduced: atoms, reduction: oneOf(...reductions) });

const dtypeDecoder: Decoder<Dtype> = oneOf(...dtypes);

export const tensorSpecDecoder = record<TensorSpec>({
  id: branded<Handle>(text),
  dtype: dtypeDecoder,
  dims: list(count),
  sharding: shardingDecoder,
  role: optional(oneOf(...valueRoles)),
});

export const typeOf = ({ dtype, dims }: TensorSpec): TensorType => ({ dtype, dims });

/**
 * Checks that a mesh has the sub-axes of a sharding, that none occurs twice, and that they divide their dims.
 *
 * @throws DecodeFailure
 */
export function checkTensor(mesh: Mesh, { dims, sharding }: TensorSpec): void {
  if (sharding.dims.length !== dims.length)
    throw new DecodeFailure(`${dims.length} lists of sub-axes, one for each dim`, sharding.dims).within("sharding.dims");
  const seen = new Set<AtomId>();
  const sizeOfAtom = (id: AtomId): number => {
    const atom = mesh.atoms[id];
    if (atom === undefined) throw new DecodeFailure(`a sub-axis of the mesh, which has ${mesh.atoms.length}`, id).within("sharding");
    if (seen.has(id)) throw new DecodeFailure("each sub-axis once", id).within("sharding");
    seen.add(id);
    return atom.size;
  };
  sharding.dims.forEach((ids, d) => {
    const parts = ids.reduce((product, id) => product * sizeOfAtom(id), 1);
    if ((dims[d] ?? 1) % parts !== 0) throw new DecodeFailure(`a dim that ${parts} divides`, dims[d]).within(d).within("dims");
  });
  for (const id of sharding.unreduced) sizeOfAtom(id);
}
