import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { type CacheShape, type Model, cacheArrays, decode, prefill, tokenLosses } from "@lapidary/models";
import { assert, ensure, hash32 } from "@lapidary/std";
import { likeliest } from "./generate-programs.js";
import { weightParameters } from "./train-state.js";

/** The rows of a rollout over all chips. All programs of a rollout have one shape. */
export interface RolloutShape {
  /** Completions. */
  readonly batch: number;
  /** Completions to each prompt, which are neighbours: `batch` is a multiple of it. */
  readonly generations: number;
  /** Tokens of a prompt at most. Prompts are padded on the left. */
  readonly prompt: number;
  /** Tokens of a completion at most. */
  readonly newTokens: number;
}

/** How a rollout reads weights that ZeRO-3 splits: `sharded` gathers them for every token, `gathered` once. */
export type RolloutWeights = "sharded" | "gathered";

export interface DrawSettings {
  /** Divides the logits. At 0 the likeliest token is drawn, and log-probabilities are of the undivided logits. */
  readonly temperature: number;
  /** Tokens that end a completion. They belong to it. */
  readonly stopTokens: readonly number[];
  /** Default `sharded`. `gathered`: the weights are those of `gatherRollout`. */
  readonly weights?: RolloutWeights;
}

/** The output of `gatherRollout` with a weight. */
export const gatheredName = (name: string): string => `gathered/${name}`;

/**
 * Gathers the shards of the weights once for a rollout. The results are split by rules only, as a forward pass reads them.
 *
 *     params/NAME   →   gathered/NAME
 */
export function gatherRollout(model: Pick<Model, "params">): Graph {
  const g = new GraphBuilder("gather_rollout");
  const weights = weightParameters(g, model);
  for (const { name, logicalAxes, block } of model.params) {
    const weight = ensure(weights.get(name), name);
    const gathered = g.inBlock(block, () => g.named(gatheredName(name), g.stopGradient(weight), logicalAxes, "gathered"));
    g.output(gatheredName(name), gathered);
  }
  return g.finish();
}

const roleOfWeights = ({ weights = "sharded" }: DrawSettings): "param" | "gathered" => (weights === "gathered" ? "gathered" : "param");

/** The token after the end of a completion, and before the start of a prompt. */
const padToken = 0;

/** Positions of the cache. The last token of a completion is never read. */
export const cacheShapeOf = ({ batch, prompt, newTokens }: RolloutShape): CacheShape => ({ batch, positions: prompt + newTokens - 1 });

/**
 * The keys of the noise of a rollout, one for each token of a completion. The noise of a token is a function of (seed, rollout, index of the token,
 * row, vocabulary id), so that every sharding and every resumed run draw the same tokens.
 */
export const drawKeys = (seed: number, rollout: number, newTokens: number): Int32Array =>
  Int32Array.from({ length: newTokens }, (_, index) => hash32(hash32(seed, rollout), index));

/** What the programs of a rollout carry from token to token, besides the cache. */
interface DrawState {
  /** i32[B]: 1 if the completion has ended. */
  readonly done: Value;
  /** i32[B, N]: the completions so far, padded on the right. */
  readonly completions: Value;
  /** f32[B, N]: log-probabilities of the tokens of the completions, 0 after a completion. */
  readonly logps: Value;
}

/**
 * Draws the first token of each completion. The program reads each prompt once, and repeats its keys, values and logits for the completions.
 *
 *     params  tokens i32[B / G, P] padded left  prompt_first i32[B / G]  keys i32[N]   →   cache/…  token  position  done  completions  logps  running
 *
 * `running` is the number of completions that have not ended.
 */
export function rolloutPrefill(model: Model, shape: RolloutShape, settings: DrawSettings): Graph {
  const { batch, generations, prompt, newTokens } = shape;
  assert(batch % generations === 0, "the completions form groups", batch, generations);
  const g = new GraphBuilder("rollout_prefill");
  const params = weightParameters(g, model, roleOfWeights(settings));
  const prompts = batch / generations;
  const tokens = g.parameter("tokens", tensorType("i32", [prompts, prompt]), ["batch", "seq"], "batch");
  const first = rows(g, "prompt_first", prompts);
  const keys = g.parameter("keys", tensorType("i32", [newTokens]), [null], "batch");
  const { logits, cache } = prefill(g, model, params, { tokens, first, positions: cacheShapeOf(shape).positions });
  const state: DrawState = {
    done: g.splat(0, tensorType("i32", [batch])),
    completions: g.splat(padToken, tensorType("i32", [batch, newTokens])),
    logps: g.splat(0, tensorType("f32", [batch, newTokens])),
  };
  const repeated = (array: Value): Value => repeatRows(g, array, generations);
  const axes = new Map(cacheArrays(model, cacheShapeOf(shape)).map(({ name, logicalAxes }) => [name, logicalAxes]));
  for (const [name, array] of cache) g.output(name, g.named(name, repeated(array), axes.get(name)));
  outputDraw(g, { logits: repeated(logits), keys, index: g.scalar(0, "i32"), position: g.scalar(prompt, "i32") }, state, settings);
  return g.finish();
}

/**
 * Draws the next token of each completion that has not ended. The caller donates every input except the parameters, `first` and `keys`. A caller that
 * repeats the run once for each token sends no other input.
 *
 *     params  cache/…  first  keys  token i32[B]  position i32[]  done  completions  logps   →   cache/…  token  position  done  completions  logps  running
 */
export function rolloutDecode(model: Model, shape: RolloutShape, settings: DrawSettings): Graph {
  const { batch, prompt, newTokens } = shape;
  const g = new GraphBuilder("rollout_decode");
  const params = weightParameters(g, model, roleOfWeights(settings));
  const cached = new Map(
    cacheArrays(model, cacheShapeOf(shape)).map(({ name, dims, logicalAxes }) => [
      name,
      g.parameter(name, tensorType("f32", dims), logicalAxes, "batch"),
    ]),
  );
  const first = rows(g, "first", batch);
  const keys = g.parameter("keys", tensorType("i32", [newTokens]), [null], "batch");
  const token = rows(g, "token", batch);
  const position = g.parameter("position", tensorType("i32", []), [], "batch");
  const state: DrawState = {
    done: rows(g, "done", batch),
    completions: g.parameter("completions", tensorType("i32", [batch, newTokens]), ["batch", null], "batch"),
    logps: g.parameter("logps", tensorType("f32", [batch, newTokens]), ["batch", null], "batch"),
  };
  const { logits, cache } = decode(g, model, params, { token, position, first, cache: cached });
  for (const [name, array] of cache) g.output(name, array);
  const index = g.offset(position, 1 - prompt);
  outputDraw(g, { logits, keys, index, position: g.offset(position, 1) }, state, settings);
  return g.finish();
}

const rows = (g: GraphBuilder, name: string, batch: number): Value => g.parameter(name, tensorType("i32", [batch]), ["batch"], "batch");

/** Each row `times` times: [R, …] → [R · times, …]. */
function repeatRows(g: GraphBuilder, x: Value, times: number): Value {
  if (times === 1) return x;
  const [R = 0, ...rest] = x.type.dims;
  const dims = [R, times, ...rest];
  const kept = dims.map((_, d) => d).filter((d) => d !== 1);
  return g.reshape(g.broadcastInDim(x, dims, kept), [R * times, ...rest]);
}

interface Drawn {
  /** f32[B, V] */
  readonly logits: Value;
  readonly keys: Value;
  /** The index of the token in its completion. */
  readonly index: Value;
  /** The position of the token in the cache. */
  readonly position: Value;
}

function outputDraw(g: GraphBuilder, { logits, keys, index, position }: Drawn, state: DrawState, settings: DrawSettings): void {
  const [batch = 0, vocabulary = 0] = logits.type.dims;
  const { temperature, stopTokens } = settings;
  const scaled = temperature === 0 || temperature === 1 ? logits : g.scale(logits, 1 / temperature);
  const key = g.reshape(g.dynamicSlice(keys, index, 0, 1), []);
  const drawn = likeliest(g, temperature === 0 ? logits : g.add(scaled, gumbelNoise(g, [batch, vocabulary], key)));
  const losses = tokenLosses(g, g.reshape(scaled, [batch, 1, vocabulary]), g.reshape(drawn, [batch, 1]));
  const isDone = g.compare(state.done, g.splat(1, drawn.type), "EQ");
  const token = g.named("token", g.select(isDone, g.splat(padToken, drawn.type), drawn), ["batch"]);
  const logps = g.select(isDone, g.splat(0, tensorType("f32", [batch])), g.negate(g.reshape(losses, [batch])));
  const stops = stopTokens.map((stop) => g.convert(g.compare(token, g.splat(stop, token.type), "EQ"), "i32"));
  const done = g.named(
    "done",
    stops.reduce((ended, stop) => g.maximum(ended, stop), state.done),
    ["batch"],
  );
  const append = (name: string, array: Value, column: Value): Value =>
    g.named(name, g.dynamicUpdateSlice(array, g.reshape(column, [batch, 1]), index, 1), ["batch", null]);
  g.output("token", token);
  g.output("position", g.named("position", position, []));
  g.output("done", done);
  g.output("completions", append("completions", state.completions, token));
  g.output("logps", append("logps", state.logps, logps));
  g.output("running", g.named("running", g.reduce(g.subtract(g.splat(1, done.type), done), [0], "sum"), [], "metric"));
}

/**
 * Gumbel noise −log(−log u): argmax(logits + noise) is a draw from softmax(logits). An element depends on its index in the whole array, not on
 * the sharding.
 */
const gumbelNoise = (g: GraphBuilder, dims: readonly number[], key: Value): Value =>
  g.named("noise", g.negate(g.log(g.negate(g.log(g.rngUniform(dims, key))))), ["batch", "vocab"]);
