import type { Graph, GraphBuilder, Value } from "@lapidary/ir";

/** Weights by the name of their parameter. */
type Weights = ReadonlyMap<string, Value>;

/** How many stages the layers of a model are divided into. */
export interface PipelineShape {
  /** The size of the mesh axis `stage`. */
  readonly stages: number;
  /** The order of the ticks; `gpipe` by default. */
  readonly order?: PipelineOrder;
  /** How often a microbatch passes all stages, each time through other layers; 1 by default. Only the order `circular` has repeats. */
  readonly repeats?: number;
}

/**
 * `gpipe`: all microbatches forward, then all backward. `circular`: the same, but a stage has the layers of several repeats, so that a tick
 * is shorter. `1f1b`: each microbatch backward as soon as possible, so that fewer inputs of stages are kept. `zero_bubble`: as `1f1b`, but
 * gradients of weights have ticks of their own, in which all stages have a microbatch.
 */
export const pipelineOrders = ["gpipe", "1f1b", "circular", "zero_bubble"] as const;
export type PipelineOrder = (typeof pipelineOrders)[number];

/** The parts of a model that a pipeline computes at different times. */
export interface Pipeline extends Required<PipelineShape> {
  /** The layers that a stage computes in one tick: all layers, divided by stages and repeats. */
  readonly layersPerStage: number;
  /** By parameter of the fragment of a stage: the stack that has its value for each stage. */
  readonly stacks: ReadonlyMap<string, string>;
  /** The parameter that `embed` reads. */
  readonly embedding: string;
  /** tokens i32[rows, T] → the input of the first stage [rows, T, D] */
  embed(g: GraphBuilder, params: Weights, tokens: Value): Value;
  /**
   * The layers of one stage as a graph: `x` [rows, T, D] and the weights → `y` [rows, T, D]. All stages compute the same graph with other
   * weights.
   */
  stage(rows: number, positions: number): Graph;
  /** The output of the last stage → final hidden state, normalised. */
  final(g: GraphBuilder, params: Weights, x: Value): Value;
}
