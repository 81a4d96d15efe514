import type { GraphBuilder, LogicalAxes, Value } from "@lapidary/ir";

/** How the elements of a parameter are drawn. Normal numbers have mean 0 and standard deviation `scale`. */
export type ParamInit = { readonly kind: "normal"; readonly scale: number } | { readonly kind: "zeros" };

/** One weight array. Names and layouts are those of its Hugging Face checkpoint; a projection is [out, in]. */
export interface ParamSpec {
  readonly name: string;
  readonly dims: readonly number[];
  /** Logical axis of each dim; rules map these names to mesh axes. `heads/16`: the dim consists of 16 units, which no rule divides. */
  readonly logicalAxes: LogicalAxes;
  readonly init: ParamInit;
  /** The block of the model that uses it; undefined if several blocks or none do. */
  readonly block?: number;
}

/** Weights by `ParamSpec.name`. */
export type ParamValues = ReadonlyMap<string, Value>;

/**
 * A language model: functions that append to a graph. It does not depend on a mesh. Sharding needs only the logical
 * axis names on parameters and on a few activations.
 */
export interface Model {
  readonly vocabSize: number;
  /** Maximum sequence length. */
  readonly contextLength: number;
  readonly params: readonly ParamSpec[];
  /** tokens i32[B,T] → final hidden state f32[B,T,D], normalised. Position t depends on tokens 0 to t. */
  hidden(g: GraphBuilder, params: ParamValues, tokens: Value): Value;
  /** Hidden state [..., D] → logits [..., V]. */
  unembed(g: GraphBuilder, params: ParamValues, hidden: Value): Value;
}

/** tokens i32[B,T] → logits f32[B,T,V]: of the token that follows each position. */
export const logitsOf = (model: Model, g: GraphBuilder, params: ParamValues, tokens: Value): Value =>
  model.unembed(g, params, model.hidden(g, params, tokens));

/** Number of weights. */
export const parameterCount = (model: Model): number => model.params.reduce((n, { dims }) => n + dims.reduce((a, b) => a * b, 1), 0);
