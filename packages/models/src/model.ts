import type { GraphBuilder, LogicalAxes, Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Pipeline } from "./pipeline/pipeline.js";

/** How the elements of a parameter are drawn. Normal numbers have mean 0 and standard deviation `scale`. */
export type ParamInit = { readonly kind: "normal"; readonly scale: number } | { readonly kind: "zeros" | "ones" };

/** One weight array. Names and layouts are those of its Hugging Face checkpoint; a projection is [out, in]. */
export interface ParamSpec {
  readonly name: string;
  readonly dims: readonly number[];
  /** Logical axis of each dim; rules map these names to mesh axes. `heads/16`: the dim consists of 16 units, which no rule divides. */
  readonly logicalAxes: LogicalAxes;
  readonly init: ParamInit;
  /** The block of the model that uses it; undefined if several blocks or none do. */
  readonly block?: number;
  /** Of a stack [n, …]: the names of its n slices in a checkpoint, which stores each slice as a tensor. */
  readonly parts?: readonly string[];
  /** Of a stack over the stages of a pipeline: the parameters of the model without stages that it holds. */
  readonly layers?: readonly string[];
}

/** The dims of the slices of a stack: those after the leading dims that `count` slices fill. */
export function sliceDims(dims: readonly number[], count: number): readonly number[] {
  let leading = 0;
  for (let n = 1; n < count; leading++) n *= ensure(dims[leading], "leading dim");
  return dims.slice(leading);
}

/** The tensors of a checkpoint that hold a parameter: the parameter itself, or the slices of a stack in their order. */
export const storedTensors = ({
  name,
  dims,
  parts,
}: Pick<ParamSpec, "name" | "dims" | "parts">): { name: string; dims: readonly number[] }[] =>
  parts === undefined ? [{ name, dims }] : parts.map((part) => ({ name: part, dims: sliceDims(dims, parts.length) }));

/** Weights by `ParamSpec.name`. */
export type ParamValues = ReadonlyMap<string, Value>;

/** The low-rank change that LoRA adds to a projection W [out, in]: W + scale · B·A (Hu et al. 2021). */
export interface Adapter {
  /** [r, in] */
  readonly a: Value;
  /** [out, r] */
  readonly b: Value;
  /** alpha / r */
  readonly scale: number;
}

/** Keys and values of one block, [B, S, K, E] each. Keys are rotated. */
export interface KeysAndValues {
  readonly keys: Value;
  readonly values: Value;
}

/** The decisions of the router of one layer, [B, T, E] each. */
export interface Routing {
  /** Softmax of the router's logits. */
  readonly probabilities: Value;
  /** 1 for the chosen experts of a token, 0 for the others. It has no gradient. */
  readonly chosen: Value;
  /** By rank, the most probable expert first: 1 for the expert of that rank, 0 for the others. They have no gradient. */
  readonly choices: readonly Value[];
}

/** The load of the experts of one layer, [E] each. They have no gradient. */
export interface ExpertLoad {
  /** Tokens that chose the expert. */
  readonly assigned: Value;
  /** Those of them that the expert does not compute, because its buffer is full. Absent: none. */
  readonly dropped?: Value;
}

/** How tokens reach their experts: every expert computes every token, at most `capacityFactor` times its even share of a row, or all. */
export type Dispatch = { readonly kind: "dense" } | { readonly kind: "capacity"; readonly capacityFactor: number } | DroplessDispatch;

export interface DroplessDispatch {
  readonly kind: "dropless";
  /** Parts of the experts, one for each chip of the axes that split them. */
  readonly parts: number;
  /** The rows of the chip with most of them, as a multiple of the mean. Values do not depend on it; predicted times do. */
  readonly imbalance: number;
}

/** What changes attention or weights. Without options a model computes whole rows of one document each. */
export interface HiddenOptions {
  /** f32[B, T, S] in the place of the causal mask: 0 if position t may attend to position s, else `hiddenBias`. */
  readonly attentionBias?: Value;
  /** i32 scalar: the position of the first token, 0 by default. */
  readonly firstPosition?: Value;
  /** Receives the new keys and values of a block, and returns the keys and values that the block attends to. */
  readonly attendTo?: (block: number, fresh: KeysAndValues) => KeysAndValues;
  /** Receives the decisions of the router of each layer that has experts. */
  readonly onRouting?: (routing: Routing, load: ExpertLoad) => void;
  /** The parts of the batch that the stages of a pipeline compute one after the other; 1 by default. Other models have no stages. */
  readonly microbatches?: number | undefined;
  /** Tokens are in balanced order, in this many parts of a row (`RowOrder`). Absent: in the order of their positions. */
  readonly balancedParts?: number | undefined;
  /** Adapters by the name of the weight that they change. */
  readonly adapters?: ReadonlyMap<string, Adapter>;
}

/**
 * A language model: functions that append to a graph. It does not depend on a mesh. Sharding needs only the logical
 * axis names on parameters and on a few activations.
 */
export interface Model {
  readonly vocabSize: number;
  /** Maximum sequence length. */
  readonly contextLength: number;
  readonly params: readonly ParamSpec[];
  /** Blocks, and the shape of the keys that each has for a position. */
  readonly attention: { readonly blocks: number; readonly kvHeads: number; readonly headDim: number };
  /** Weight of the auxiliary loss of a mixture of experts (`balanceLoss`). Absent: the model has none. */
  readonly balanceWeight?: number | undefined;
  /** Experts of a layer, and whether one can be full and drop tokens. Absent: the model has none. */
  readonly experts?: { readonly count: number; readonly drops: boolean } | undefined;
  /** Parts of a row whose order a train step balances. The step reorders its batch, and passes the number to `hidden`. Absent: rows keep their order. */
  readonly balancedParts?: number | undefined;
  /** The stages of a pipeline. Absent: the layers are not divided into stages. */
  readonly pipeline?: Pipeline | undefined;
  /** tokens i32[B,T] → final hidden state f32[B,T,D], normalised. Position t depends on tokens 0 to t, unless the options say otherwise. */
  hidden(g: GraphBuilder, params: ParamValues, tokens: Value, options?: HiddenOptions): Value;
  /** Hidden state [..., D] → logits [..., V]. */
  unembed(g: GraphBuilder, params: ParamValues, hidden: Value): Value;
}

/** tokens i32[B,T] → logits f32[B,T,V]: of the token that follows each position. */
export const logitsOf = (model: Model, g: GraphBuilder, params: ParamValues, tokens: Value, options?: HiddenOptions): Value =>
  model.unembed(g, params, model.hidden(g, params, tokens, options));

/** Number of weights. */
export const parameterCount = (model: Model): number => model.params.reduce((n, { dims }) => n + dims.reduce((a, b) => a * b, 1), 0);
