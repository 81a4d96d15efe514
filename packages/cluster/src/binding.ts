import type { Dtype } from "@lapidary/ir";
import type { Handle, ProgramHash, ProgramTensors, RunValues, TensorSpec } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";

/** The inputs of a program, and the use of its outputs. */
export interface Binding {
  /** An array for every parameter, by name. */
  readonly inputs: ReadonlyMap<string, Handle>;
  /** Ids of the outputs to keep, by name. */
  readonly outputs: ReadonlyMap<string, Handle>;
  /** Inputs that a run consumes; outputs may take their ids. */
  readonly donate?: Iterable<Handle>;
  /** Names of scalar outputs that the report returns. */
  readonly scalars?: readonly string[];
}

/** A program with its arrays: everything that is the same in all its runs, computed once. */
export interface BoundProgram {
  readonly hash: ProgramHash;
  readonly values: RunValues;
  /** Arrays that do not exist after a run. */
  readonly donated: readonly Handle[];
  /** Arrays that a run creates. */
  readonly made: ReadonlyMap<Handle, TensorSpec>;
  readonly scalars: readonly { readonly name: string; readonly dtype: Dtype }[];
}

/** Binds the inputs and outputs of a loaded program. */
export function bindProgram(
  hash: ProgramHash,
  { parameters, outputs: results }: ProgramTensors,
  { inputs, outputs, donate = [], scalars = [] }: Binding,
): BoundProgram {
  const values = {
    inputs: parameters.map(({ id }) => ensure(inputs.get(id), `input ${id}`)),
    outputs: results.map(({ id }) => outputs.get(id) ?? null),
    donate: [...donate],
    told: scalars.map((name) => {
      const index = results.findIndex(({ id }) => id === name);
      assert(index >= 0, "a report returns outputs", name);
      return index;
    }),
  };
  const made = new Map<Handle, TensorSpec>();
  values.outputs.forEach((id, i) => id !== null && made.set(id, { ...ensure(results[i], "output"), id }));
  return {
    hash,
    values,
    donated: values.donate.filter((id) => !made.has(id)),
    made,
    scalars: values.told.map((index) => {
      const { id: name, dtype } = ensure(results[index], "output");
      return { name, dtype };
    }),
  };
}
