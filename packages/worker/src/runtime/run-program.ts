import { type CallTimes, disposeHeld, type Executable } from "@lapidary/executor";
import { sizeOf } from "@lapidary/ir";
import { type Handle, type RunValues, bytesOfNumbers } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { valueExistsError, valueTypeError } from "./errors.js";
import type { LoadedProgram, Membership } from "./membership.js";

/** Checks the handles of a run against its program. One check serves all runs with the same handles. */
export function checkValues({ inputs, outputs, donate, told }: RunValues, { tensors }: Executable): void {
  assert(inputs.length === tensors.parameters.length, "an input for each parameter", inputs.length, tensors.parameters.length);
  assert(outputs.length === tensors.outputs.length, "an id for each output, or none", outputs.length, tensors.outputs.length);
  const named = outputs.filter((id) => id !== null);
  assert(new Set(named).size === named.length, "outputs have ids of their own", named);
  const times = new Map<Handle, number>();
  for (const id of inputs) times.set(id, (times.get(id) ?? 0) + 1);
  const consumed = new Set(donate);
  assert(consumed.size === donate.length && donate.every((id) => times.get(id) === 1), "a donated value is an input, once", donate);
  for (const index of told) {
    const { dims } = ensure(tensors.outputs[index], `output ${index}`);
    assert(sizeOf(dims) === 1, "an output that the reply returns is one number", index, dims);
  }
}

export interface RunOptions {
  readonly traced: boolean;
  /** Called when half of the outputs are stored. */
  readonly midApply: () => void;
}

export interface RunResult {
  readonly trace: CallTimes | undefined;
  /** The outputs that the reply returns, 4 bytes each. */
  readonly scalars: Uint8Array | undefined;
}

/** Runs a program once: checks that the inputs exist and have the expected layouts, computes, and stores the outputs. */
export async function runProgram(
  member: Membership,
  program: LoadedProgram,
  { inputs, outputs, donate, told }: RunValues,
  { traced, midApply }: RunOptions,
): Promise<RunResult> {
  const { values, executor } = member;
  const { executable, parameterLayouts, outputLayouts } = program;
  const { tensors } = executable;
  const consumed = new Set(donate);
  const given = inputs.map((id, i) => {
    const value = values.get(id);
    const wanted = ensure(parameterLayouts[i], "parameter");
    if (value.layout !== wanted) throw valueTypeError(`${id} for parameter ${tensors.parameters[i]?.id ?? i}`, value.layout, wanted);
    return value.held;
  });
  for (const id of outputs) if (id !== null && values.has(id) && !consumed.has(id)) throw valueExistsError(id);
  // From here on the executable owns the donated values, whether it succeeds or fails.
  for (const id of donate) values.release(id);
  let trace: CallTimes | undefined;
  const results = await executable.run(
    given,
    inputs.map((id) => consumed.has(id)),
    `run${member.runs++}`,
    traced ? (times) => (trace = times) : undefined,
  );
  const scalars = new Uint8Array(4 * told.length);
  told.forEach((index, i) => {
    const scalar = executor.fetch(ensure(results[index], "result"), ensure(tensors.outputs[index], "output"));
    scalars.set(bytesOfNumbers(scalar.data), 4 * i);
  });
  outputs.forEach((id, i) => {
    if (i === outputs.length >> 1) midApply();
    const held = ensure(results[i], "result");
    if (id === null) disposeHeld(held);
    else values.set(id, { held, tensor: { ...ensure(tensors.outputs[i], "output"), id }, layout: ensure(outputLayouts[i], "layout") });
  });
  return { trace, scalars: scalars.length === 0 ? undefined : scalars };
}
