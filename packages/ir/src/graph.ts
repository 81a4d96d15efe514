import { type Mesh } from "@lapidary/topology";
import type { OpAttrs, OpName } from "./attrs.js";
import type { Sharding } from "./sharding.js";
import type { TensorType } from "./types.js";

/** Index of a value in its graph. */
export type ValueId = number;

/**
 * One SSA value and the op that computes it.
 *
 * `name` is its provenance, `layers.3.attn.q`; gradients are `grad(layers.3.attn.q)`. `logicalAxes` name what the dims mean
 * ("batch", "embed", …): rules map them to mesh axes. `sharding` is set by propagation and by all later stages.
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
  /** Its purpose in the training step. ZeRO shards by role, and the memory plan counts by role. */
  readonly role?: ValueRole | undefined;
  /** Block of the model, and pass. Code decides by the scope, never by the name. */
  readonly scope: Scope;
  /** Why this value (a collective, a reshard) exists: one sentence, written by the stage that added the value. */
  readonly cause?: string | undefined;
}

export type Value = { [N in OpName]: ValueOf<N> }[OpName];

/** `gathered`: a weight as forward passes read it. Rules split it, ZeRO does not. A program writes it for later programs. */
export type ValueRole = "param" | "gathered" | "gradient" | "optimizer" | "batch" | "metric";
export const valueRoles: readonly ValueRole[] = ["param", "gathered", "gradient", "optimizer", "batch", "metric"];

/**
 * The position of a value in the training step.
 *
 * `block` is the index of the repeated part of the model (a layer), from 0. Values outside all blocks have none. A gradient
 * has the block of the value that it belongs to. A parameter and its update have the block that uses the parameter.
 *
 * `chunk` is the index of a piece of the loss, from 0. Chunks are computed one after the other, so that the arrays of one chunk are freed
 * before the next begins: values of two chunks are never fused.
 *
 * `region` is the repeated region of which the value is a part: see `Region`.
 */
export interface Scope {
  readonly block?: number;
  readonly chunk?: number;
  readonly phase: Phase;
  /** The region whose body contains the value; absent outside of regions. */
  readonly region?: RegionScope;
  /** The part of a tick of a pipeline that the value belongs to; absent outside of ticks, and for what the stages compute together. */
  readonly tick?: TickPart;
  /** The line of the user's program from which an imported value comes: `train.py:41`. The text form omits it. */
  readonly line?: string;
}

/** A region by its number in the graph, and how many times its body runs. */
export interface RegionScope {
  readonly id: number;
  readonly count: number;
  /** The bubble of a pipeline: iterations in which a stage computes nothing that is needed. Absent: none. */
  readonly idle?: IdleIterations;
}

/** A part of a tick of a pipeline. `weights`: gradients of weights, if a tick computes them apart from those of inputs (`backward`). */
export type TickPart = "forward" | "backward" | "weights";
export const tickParts: readonly TickPart[] = ["forward", "backward", "weights"];

/** By part of a tick: for each stage, the iterations of a region in which the stage has no microbatch. */
export type IdleIterations = { readonly [P in TickPart]?: readonly number[] };

/** The mean over the stages of the iterations in which a stage has no work in the part of the tick that computes a value. */
export function meanIdle({ region, tick }: Scope): number {
  const idle = (tick === undefined ? undefined : region?.idle?.[tick]) ?? [];
  return idle.length === 0 ? 0 : idle.reduce((a, b) => a + b, 0) / idle.length;
}

/** The pass that computes a value. `recompute` repeats forward work in the backward pass; `update` is the optimizer. */
export type Phase = "forward" | "backward" | "recompute" | "update";
export const phases: readonly Phase[] = ["forward", "backward", "recompute", "update"];

/** Recomputation belongs to the backward pass. */
export const passOf = (phase: Phase): Exclude<Phase, "recompute"> => (phase === "recompute" ? "backward" : phase);

/** A scope without keys that are undefined. */
export const makeScope = (scope: {
  readonly phase: Phase;
  readonly block?: number | undefined;
  readonly chunk?: number | undefined;
  readonly region?: RegionScope | undefined;
  readonly tick?: TickPart | undefined;
  readonly line?: string | undefined;
}): Scope => ({
  ...(scope.block === undefined ? {} : { block: scope.block }),
  ...(scope.chunk === undefined ? {} : { chunk: scope.chunk }),
  ...(scope.region === undefined ? {} : { region: scope.region }),
  ...(scope.tick === undefined ? {} : { tick: scope.tick }),
  ...(scope.line === undefined ? {} : { line: scope.line }),
  phase: scope.phase,
});

/** The meaning of each dim, or null. */
export type LogicalAxes = readonly (string | null)[];

export interface GraphOutput {
  readonly name: string;
  readonly value: ValueId;
}

/**
 * A list of values in an order of execution: `values[i].id === i`, and inputs come before their uses.
 *
 * - `level: "global"`: types are those of whole arrays;
 * - `level: "chip"` (after partition): types are those of one chip, and collectives are explicit;
 * - `level: "host"` (after lowering): types are those of a worker's block.
 *
 * An output with the name of a parameter is the next state of that parameter. Its buffer may be reused.
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

/** Number of uses of each value, outputs included. */
export function useCounts(graph: Graph): number[] {
  const counts = Array<number>(graph.values.length).fill(0);
  const use = (id: ValueId): void => {
    counts[id] = (counts[id] ?? 0) + 1;
  };
  for (const value of graph.values) value.inputs.forEach(use);
  for (const output of graph.outputs) use(output.value);
  return counts;
}
