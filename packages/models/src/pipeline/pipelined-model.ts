import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { type BuildOptions, decoderLayer, embedTokens, finalNormed, makePass, residual } from "../decoder-layers.js";
import { embedding } from "../decoder-params.js";
import type { ModelConfig } from "../model-config.js";
import { type Model, type ParamSpec, type ParamValues, sliceDims } from "../model.js";
import { borderAxes, runForward } from "./forward.js";
import type { Pipeline, PipelineShape } from "./pipeline.js";
import { stackParams } from "./stage-params.js";

/**
 * A model whose weights of layers are stacks over the stages of a pipeline. Layer l of stage s in repeat r is layer
 * (r · stages + s) · layers a stage + l. Without a cache of keys, all stages compute at once, one part of the batch each. With a cache, the
 * layers are computed one after the other.
 */
export function pipelinedModel(plain: Model, config: ModelConfig, build: BuildOptions, shape: PipelineShape): Model {
  const { stages, order = "gpipe", repeats = 1 } = shape;
  const layersPerStage = config.layers / (stages * repeats);
  assert(Number.isInteger(layersPerStage), "stages and repeats divide the layers", config.layers, stages, repeats);
  assert(repeats === 1 || order === "circular", "only the order circular has repeats", order, repeats);
  const params = stackParams(plain.params, { stages, repeats, layersPerStage });
  const pipeline: Pipeline = {
    stages,
    order,
    repeats,
    layersPerStage,
    stacks: new Map(params.flatMap((spec) => (spec.layers === undefined ? [] : [[ensure(spec.layers[0], "layer"), spec.name] as const]))),
    embedding,
    embed: (g, weights, tokens) => g.constrain(embedTokens(g, config, weights, g.constrain(tokens, borderAxes.slice(0, 2))), borderAxes),
    stage: (rows, positions) => traceStage(config, build, plain.params, { rows, positions, layersPerStage }),
    final: (g, weights, x) => finalNormed(g, config, weights, x),
  };
  return {
    ...plain,
    params,
    pipeline,
    hidden: (g, weights, tokens, options = {}) => {
      const { microbatches = 1, ...others } = options;
      if (Object.values(others).some((option) => option !== undefined))
        return plain.hidden(g, unstacked(g, params, weights), tokens, options);
      const [B = 0, T = 0] = tokens.type.dims;
      const fragment = pipeline.stage(B / microbatches, T);
      return pipeline.final(g, weights, runForward(g, { pipeline, fragment, weights, tokens, microbatches }).output);
    },
  };
}

/** The layers of the first stage as a graph of their own. */
function traceStage(
  config: ModelConfig,
  build: BuildOptions,
  params: readonly ParamSpec[],
  { rows, positions, layersPerStage }: { readonly rows: number; readonly positions: number; readonly layersPerStage: number },
): Graph {
  const g = new GraphBuilder("stage");
  const start = g.parameter("x", tensorType("f32", [rows, positions, config.modelDim]), residual);
  const weights = new Map(
    params
      .filter(({ block }) => block !== undefined && block < layersPerStage)
      .map(({ name, dims, logicalAxes }) => [name, g.parameter(name, tensorType("f32", dims), logicalAxes)]),
  );
  const pass = makePass(g, config, build, weights, positions, {});
  let x = start;
  for (let i = 0; i < layersPerStage; i++) x = decoderLayer(g, config, i, x, pass);
  g.output("y", x);
  return g.finish();
}

/** The weights of each layer, as slices of the stacks. */
function unstacked(g: GraphBuilder, params: readonly ParamSpec[], weights: ParamValues): Map<string, Value> {
  return new Map(
    params.flatMap(({ name, layers }): [string, Value][] => {
      const stack = ensure(weights.get(name), name);
      if (layers === undefined) return [[name, stack]];
      const { dims } = stack.type;
      const leading = dims.length - sliceDims(dims, layers.length).length;
      const repeats = layers.length / (dims[0] ?? 1);
      return layers.map((layer, i) => {
        const place = leading === 1 ? [i] : [Math.floor(i / repeats), i % repeats];
        const slice = g.slice(
          stack,
          dims.map((_, d) => place[d] ?? 0),
          dims.map((size, d) => (d < leading ? (place[d] ?? 0) + 1 : size)),
        );
        return [layer, g.reshape(slice, dims.slice(leading))];
      });
    }),
  );
}
