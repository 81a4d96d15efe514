import { type Graph, type Value, globalDims, parametersOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { handleOf } from "./ids.js";
import type { TensorSpec } from "./tensor-spec.js";

/** The arrays that a program reads and computes, in the order of its parameters and outputs. */
export interface ProgramTensors {
  readonly parameters: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/**
 * The whole arrays of a per-chip program, by the names of its parameters and outputs. An output with the name of a parameter has its role, because it is
 * the next state of that parameter.
 *
 * @param chip a per-chip program with a sharding on every value
 */
export function programTensors(chip: Graph): ProgramTensors {
  const mesh = ensure(chip.mesh, "mesh");
  const roles = new Map(parametersOf(chip).map(({ attrs, role }) => [attrs.name, role]));
  const spec = (name: string, value: Pick<Value, "type" | "sharding" | "role">): TensorSpec => {
    const sharding = ensure(value.sharding, `sharding of ${name}`);
    const role = value.role ?? roles.get(name);
    return {
      id: handleOf(name),
      dtype: value.type.dtype,
      dims: globalDims(mesh, value.type.dims, sharding),
      sharding,
      ...(role === undefined ? {} : { role }),
    };
  };
  return {
    parameters: parametersOf(chip).map((value) => spec(value.attrs.name, value)),
    outputs: chip.outputs.map(({ name, value }) => spec(name, ensure(chip.values[value], name))),
  };
}
