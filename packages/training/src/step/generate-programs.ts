import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { type CacheShape, type Model, cacheArrays, decode, prefill } from "@lapidary/models";
import { weightParameters } from "./train-state.js";

/** The likeliest token of each row of logits [B, V]; of equal logits the first. Works for a sharded vocabulary. */
export function likeliest(g: GraphBuilder, logits: Value): Value {
  const { dims } = logits.type;
  const isTop = g.compare(logits, g.broadcastInDim(g.reduce(logits, [1], "max"), dims, [0]), "EQ");
  const ids = tensorType("i32", dims);
  return g.named("token", g.reduce(g.select(isTop, g.iota(ids, 1), g.splat(dims[1] ?? 0, ids)), [1], "min"), ["batch"]);
}

/**
 * The first token of each row, and the cache of the prompts' keys and values.
 *
 *     params  tokens i32[B, P] padded left  first i32[B]   →   cache/…  logits f32[B, V]  token i32[B]  position i32[]
 *
 * `position` is that of `token`.
 */
export function prefillProgram(model: Model, { batch, positions, prompt }: CacheShape & { readonly prompt: number }): Graph {
  const g = new GraphBuilder("prefill");
  const params = weightParameters(g, model);
  const tokens = g.parameter("tokens", tensorType("i32", [batch, prompt]), ["batch", "seq"], "batch");
  const first = g.parameter("first", tensorType("i32", [batch]), ["batch"], "batch");
  const { logits, cache } = prefill(g, model, params, { tokens, first, positions });
  for (const [name, array] of cache) g.output(name, array);
  g.output("logits", logits);
  g.output("token", likeliest(g, logits));
  g.output("position", g.scalar(prompt, "i32"));
  return g.finish();
}

/**
 * The next token of each row. The caller donates the cache.
 *
 *     params  cache/…  token i32[B]  position i32[]  first i32[B]   →   cache/…  logits f32[B, V]  token i32[B]  position i32[]
 *
 * A caller that binds `token` and `position` to the inputs sends no array for the next token.
 */
export function decodeProgram(model: Model, shape: CacheShape): Graph {
  const g = new GraphBuilder("decode");
  const params = weightParameters(g, model);
  const cached = new Map(
    cacheArrays(model, shape).map(({ name, dims, logicalAxes }) => [
      name,
      g.parameter(name, tensorType("f32", dims), logicalAxes, "batch"),
    ]),
  );
  const row = (name: string): Value => g.parameter(name, tensorType("i32", [shape.batch]), ["batch"], "batch");
  const [token, first] = [row("token"), row("first")];
  const position = g.parameter("position", tensorType("i32", []), [], "batch");
  const { logits, cache } = decode(g, model, params, { token, position, first, cache: cached });
  for (const [name, array] of cache) g.output(name, array);
  g.output("logits", logits);
  g.output("token", likeliest(g, logits));
  g.output("position", g.offset(position, 1));
  return g.finish();
}
