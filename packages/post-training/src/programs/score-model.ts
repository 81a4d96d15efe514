import { type GraphBuilder, type Value, tensorType } from "@lapidary/ir";
import type { HiddenOptions, Model, ParamSpec, ParamValues } from "@lapidary/models";
import { ensure } from "@lapidary/std";

/** The head of a reward or value model, [1, D], by the name that `GemmaForSequenceClassification` gives it. */
export const scoreWeight = "score.weight";

/** The linear head of a reward or value model. */
export function scoreHead(model: Pick<Model, "params">): ParamSpec {
  const [embedding] = model.params;
  const width = ensure(ensure(embedding, "embedding").dims[1], "width of the model");
  return {
    name: scoreWeight,
    dims: [1, width],
    logicalAxes: [null, "embed"],
    init: { kind: "normal", scale: 1 / Math.sqrt(width) },
  };
}

/** The trunk of a language model with a linear head in the place of the vocabulary: a reward model, or a value model. */
export const scoreParams = (model: Pick<Model, "params">): ParamSpec[] => [...model.params, scoreHead(model)];

/** w · h at every position: f32[B, T]. */
export function tokenScores(
  g: GraphBuilder,
  model: Model,
  params: ParamValues,
  { tokens, options }: { readonly tokens: Value; readonly options: HiddenOptions },
): Value {
  const hidden = model.hidden(g, params, tokens, options);
  const head = ensure(params.get(scoreWeight), scoreWeight);
  return g.named("token_scores", g.reshape(g.dotGeneral(hidden, head, [], [[2, 1]]), tokens.type.dims), ["batch", "seq"]);
}

/**
 * w · h at one position of each row: f32[B]. A one-hot row selects the position, because any sharding of batch and seq supports it.
 *
 * @param last i32[B]
 */
export function rowScores(g: GraphBuilder, scores: Value, last: Value): Value {
  const dims = scores.type.dims;
  const isLast = g.compare(g.iota(tensorType("i32", dims), 1), g.broadcastInDim(last, dims, [0]), "EQ");
  return g.named("scores", g.reduce(g.select(isLast, scores, g.splat(0, scores.type)), [1], "sum"), ["batch"]);
}
