import type { GraphBuilder, Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { decoderParams, embedding, outputProjection } from "./decoder-params.js";
import { softCap } from "./layers/soft-cap.js";
import { isTied, type ModelConfig } from "./model-config.js";
import type { HiddenOptions, Model, ParamSpec, ParamValues } from "./model.js";
import { type BuildOptions, decoderLayer, embedTokens, finalNormed, makePass } from "./decoder-layers.js";
import { pipelinedModel } from "./pipeline/pipelined-model.js";

/**
 * A decoder of any family. The norms in brackets, the caps and the scale of the embedding are those of some families:
 *
 *     tokens ─► embed (· √D) ─► [ x += (norm) attention(norm x) ; x += (norm) mlp(norm x) ] × layers ─► norm ─► · outputᵀ (cap) ─► logits
 */
export function buildModel(config: ModelConfig, build: BuildOptions = {}): Model {
  const plain = plainModel(config, build);
  return build.pipeline === undefined ? plain : pipelinedModel(plain, config, build, build.pipeline);
}

const plainModel = (config: ModelConfig, build: BuildOptions): Model => ({
  vocabSize: config.vocabSize,
  contextLength: config.contextLength,
  params: decoderParams(config),
  attention: { blocks: config.layers, kvHeads: config.kvHeads, headDim: config.headDim },
  ...((config.experts?.auxWeight ?? 0) > 0 ? { balanceWeight: config.experts?.auxWeight } : {}),
  ...(config.experts === undefined ? {} : { experts: { count: config.experts.count, drops: build.dispatch?.kind === "capacity" } }),
  ...(build.balancedParts === undefined ? {} : { balancedParts: build.balancedParts }),
  hidden: (g, params, tokens, options = {}) => hidden(g, config, build, params, tokens, options),
  unembed: (g, params, x) => unembed(g, config, params, x),
});

/** All parameters, in the order of a checkpoint. */
export const paramsOf = (config: ModelConfig): readonly ParamSpec[] => buildModel(config).params;

function hidden(
  g: GraphBuilder,
  config: ModelConfig,
  build: BuildOptions,
  params: ParamValues,
  tokens: Value,
  options: HiddenOptions,
): Value {
  const pass = makePass(g, config, build, params, tokens.type.dims[1] ?? 0, options);
  let x = embedTokens(g, config, params, tokens);
  for (let i = 0; i < config.layers; i++) x = decoderLayer(g, config, i, x, pass);
  return finalNormed(g, config, params, x);
}

/** Hidden state [..., D] → logits [..., V]: the matmul with the rows of the output projection, which may be the embedding. */
function unembed(g: GraphBuilder, config: ModelConfig, params: ParamValues, x: Value): Value {
  const name = isTied(config) ? embedding : outputProjection;
  const last = x.type.dims.length - 1;
  const axes = last === 2 ? (["batch", "seq", "vocab"] as const) : (["batch", "vocab"] as const);
  const scores = g.dotGeneral(x, ensure(params.get(name), `parameter ${name}`), [], [[last, 1]]);
  if (config.logitCap === undefined) return g.named("logits", scores, axes);
  return g.named("logits", softCap(g, g.named("uncapped_logits", scores, axes), config.logitCap), axes);
}
