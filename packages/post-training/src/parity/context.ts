import { type ArrayData, f32Array } from "@lapidary/interop";
import type { Graph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type GraphRunner, type StateSpec, gradientName, paramName } from "@lapidary/training";
import { inSet } from "../programs/trained-model.js";

export type Arrays = ReadonlyMap<string, ArrayData>;

/** Arrays under the names of inputs. */
export const inputsOf = (arrays: Readonly<Record<string, ArrayData>>): Arrays => new Map(Object.entries(arrays));

export const scalarOf = (arrays: Arrays, name: string): number => ensure(ensure(arrays.get(name), name).data[0], name);
export const arrayOf = (arrays: Arrays, name: string): ArrayData => ensure(arrays.get(name), name);

/** Weights under the names of parameters of a program. */
export const asParams = (weights: Arrays, set?: string): Arrays =>
  new Map([...weights].map(([name, array]) => [paramName(set === undefined ? name : inSet(set, name)), array]));

/** The gradients of a program by the name of the parameter. */
export const gradientsOf = (out: Arrays, names: Iterable<string>): Arrays =>
  new Map([...names].map((name) => [name, arrayOf(out, gradientName(name))]));

/** The first states of a step program: given weights, zeros otherwise. */
export const initialStates = (specs: readonly StateSpec[], weights: Arrays): Arrays =>
  new Map(
    specs.map(({ name, dims, role, weight }) => [
      name,
      (role === "param" ? weights.get(weight ?? "") : undefined) ?? f32Array(dims, new Float32Array(dims.reduce((a, b) => a * b, 1))),
    ]),
  );

/** A step program over given states, batch and frozen weights. */
export interface StepRun {
  readonly name: string;
  readonly graph: Graph;
  readonly states: Arrays;
  readonly rest: Arrays;
}

/** The results of the first step, and the losses before each of three steps on the same batch and after the last. */
export async function runSteps(runner: GraphRunner, { name, graph, states, rest }: StepRun): Promise<{ first: Arrays; losses: number[] }> {
  const first = await runner.run(name, graph, new Map([...states, ...rest]));
  const losses = [scalarOf(first, "loss")];
  let out = first;
  for (let step = 0; step < 3; step++) {
    const previous = out;
    const next = new Map([...states.keys()].map((state) => [state, arrayOf(previous, state)]));
    out = await runner.run(name, graph, new Map([...next, ...rest]));
    losses.push(scalarOf(out, "loss"));
  }
  return { first, losses };
}

/** The results of one step. */
export const runStep = (runner: GraphRunner, { name, graph, states, rest }: StepRun): Promise<Arrays> =>
  runner.run(name, graph, new Map([...states, ...rest]));
