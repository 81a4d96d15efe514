import { type Mesh } from "@lapidary/topology";
import type { OpAttrs, OpName } from "./attrs.js";
import type { Sharding } from "./sharding.js";
import type { TensorType } from "./types.js";

/** Index of a value in its graph. */
export type ValueId = number;

/**
 * One SSA value and the op that makes it.
 *
 * `name` is its provenance, `layers.3.attn.q`; gradients are `grad(layers.3.attn.q)`. `logicalAxes` name what the dims mean
 * ("batch", "embed", …): rules map them to mesh axes. `sharding` is there from propagation on.
 */
export interface ValueOf<N extends OpName> {
  readonly id: ValueId;
  readonly op: N;
  readonly attrs: OpAttrs[N];
  readonly inputs: readonly ValueId[];
  readonly type: TensorType;
  readonly name: string;
  readonly logicalAxes?: LogicalAxes | undefined;
  readonly sharding?: Sharding | undefined;
  /** What it is to the training step: ZeRO shards by role, memory is counted by role. */
  readonly role?: ValueRole | undefined;
  /** Where in the step it belongs: block of the model and pass. Code reads these, and never the name. */
  readonly scope: Scope;
  /** Why this value (a collective, a reshard) exists: one sentence, from the stage that made it. */
  readonly cause?: string | undefined;
}

export type Value = { [N in OpName]: ValueOf<N> }[OpName];

export type ValueRole = "param" | "gradient" | "optimizer" | "batch" | "metric";
export const valueRoles: readonly ValueRole[] = ["param", "gradient", "optimizer", "batch", "metric"];

/**
 * The place of a value in the training step.
 *
 * `block` is the index of the repeated part of the model (a layer) from 0; values outside all blocks have none. A gradient has the block of
 * the value it belongs to, and a parameter or its update has the block that uses the parameter.
 */
export interface Scope {
  readonly block?: number;
  readonly phase: Phase;
}

/** The pass that computes a value. `recompute` is forward work done again in the backward pass; `update` is the optimizer. */
export type Phase = "forward" | "backward" | "recompute" | "update";
export const phases: readonly Phase[] = ["forward", "backward", "recompute", "update"];

/** Recomputation belongs to the backward pass. */
export const passOf = (phase: Phase): Exclude<Phase, "recompute"> => (phase === "recompute" ? "backward" : phase);

export const makeScope = (phase: Phase, block: number | undefined): Scope => (block === undefined ? { phase } : { block, phase });

/** Per dim what it means, or null. */
export type LogicalAxes = readonly (string | null)[];

export interface GraphOutput {
  readonly name: string;
  readonly value: ValueId;
}

/**
 * A list of values in an order of execution: `values[i].id === i`, and inputs come before their uses. With types of
 * whole arrays it is a graph; after partition (`level: "chip"`) types are one chip's and collectives are explicit; after
 * lowering (`level: "host"`) types are a worker's block.
 *
 * An output that bears the name of a parameter is that parameter's next state (its buffer may be reused).
 */
export interface Graph {
  readonly name: string;
  readonly level: GraphLevel;
  readonly mesh?: Mesh | undefined;
  readonly values: readonly Value[];
  readonly outputs: readonly GraphOutput[];
}

export type GraphLevel = "global" | "chip" | "host";

export const parametersOf = (graph: Graph): ValueOf<"parameter">[] => graph.values.filter((value) => value.op === "parameter");

/** How often each value is used, outputs included. */
export function useCounts(graph: Graph): number[] {
  const counts = Array<number>(graph.values.length).fill(0);
  const use = (id: ValueId): void => {
    counts[id] = (counts[id] ?? 0) + 1;
  };
  for (const value of graph.values) value.inputs.forEach(use);
  for (const output of graph.outputs) use(output.value);
  return counts;
}
