import { type GraphBuilder, type LogicalAxes, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { hiddenBias } from "./layers/hidden-bias.js";
import type { HiddenOptions, KeysAndValues, Model, ParamValues } from "./model.js";

/** Rows of a generation over all chips, and the positions that their cache holds. */
export interface CacheShape {
  readonly batch: number;
  readonly positions: number;
}

/** The keys or the values of one block, [batch, positions, kv heads, head dim]. */
export interface CacheArray {
  readonly name: string;
  readonly dims: readonly number[];
  readonly logicalAxes: LogicalAxes;
}

const nameOf = (kind: "keys" | "values", block: number): string => `cache/${kind}.${block}`;

/** The arrays of a cache, two for each block. Rows are split as the batch is, heads as `kv_heads` are. */
export const cacheArrays = ({ attention }: Model, { batch, positions }: CacheShape): CacheArray[] =>
  Array.from({ length: attention.blocks }, (_, block) =>
    (["keys", "values"] as const).map(
      (kind): CacheArray => ({
        name: nameOf(kind, block),
        dims: [batch, positions, attention.kvHeads, attention.headDim],
        logicalAxes: ["batch", null, "kv_heads", null],
      }),
    ),
  ).flat();

/** Logits, and the next cache by the names of `cacheArrays`. */
export interface Extended {
  /** f32[B, V]: of the token after the last. */
  readonly logits: Value;
  readonly cache: ReadonlyMap<string, Value>;
}

/**
 * Computes prompts, padded on the left, and the cache of their keys and values. All rows have their last token at position P − 1, so that a
 * later token has one position for all rows. Rotary embedding depends on differences of positions, so that padding changes nothing.
 *
 * @param tokens i32[B, P]
 * @param first i32[B]: the position of each row's first token; positions before it are padding
 * @param positions of the cache, at least P
 */
export function prefill(
  g: GraphBuilder,
  model: Model,
  params: ParamValues,
  { tokens, first, positions }: { readonly tokens: Value; readonly first: Value; readonly positions: number },
): Extended {
  const [B = 0, P = 0] = tokens.type.dims;
  const cache = new CacheWriter(g, (fresh) => {
    const missing = positions - (fresh.type.dims[1] ?? 0);
    return missing === 0 ? fresh : g.pad(fresh, [0, 0, 0, 0], [0, missing, 0, 0]);
  });
  const dims = [B, P, P];
  const type = tensorType("i32", dims);
  const isEarlier = g.compare(g.iota(type, 2), g.iota(type, 1), "LE");
  const attentionBias = visibleBias(g, g.and(isEarlier, isText(g, first, dims)));
  const hidden = model.hidden(g, params, tokens, { attentionBias, attendTo: cache.keepBut });
  const last = g.reshape(g.slice(hidden, [0, P - 1, 0], hidden.type.dims), [B, hidden.type.dims[2] ?? 0]);
  return { logits: model.unembed(g, params, last), cache: cache.written };
}

/**
 * Computes one token of each row, at one position for all rows, and adds its keys and values to the cache.
 *
 * @param token i32[B]
 * @param position i32 scalar
 * @param first i32[B], as in `prefill`
 * @param cache values by the names of `cacheArrays`
 */
export function decode(
  g: GraphBuilder,
  model: Model,
  params: ParamValues,
  { token, position, first, cache }: { token: Value; position: Value; first: Value; cache: ReadonlyMap<string, Value> },
): Extended {
  const [B = 0] = token.type.dims;
  const writer = new CacheWriter(g, (fresh, name) => g.dynamicUpdateSlice(ensure(cache.get(name), name), fresh, position, 1));
  const [, S = 0] = ensure(cache.get(nameOf("keys", 0)), "cache").type.dims;
  const dims = [B, 1, S];
  const isEarlier = g.compare(g.iota(tensorType("i32", dims), 2), g.broadcastInDim(position, dims, []), "LE");
  const attentionBias = visibleBias(g, g.and(isEarlier, isText(g, first, dims)));
  const options: HiddenOptions = { attentionBias, firstPosition: position, attendTo: writer.keep };
  const hidden = model.hidden(g, params, g.reshape(token, [B, 1]), options);
  return { logits: model.unembed(g, params, g.reshape(hidden, [B, hidden.type.dims[2] ?? 0])), cache: writer.written };
}

/** Whether position s of [B, T, S] is at or after the row's first token. */
const isText = (g: GraphBuilder, first: Value, dims: readonly number[]): Value =>
  g.compare(g.iota(tensorType("i32", dims), 2), g.broadcastInDim(first, dims, [0]), "GE");

const visibleBias = (g: GraphBuilder, isVisible: Value): Value => {
  const type = tensorType("f32", isVisible.type.dims);
  return g.named("cache_bias", g.select(isVisible, g.splat(0, type), g.splat(hiddenBias, type)));
};

/** Collects the cache of all blocks. */
class CacheWriter {
  readonly written = new Map<string, Value>();

  /** @param write the array of the cache from the fresh keys or values */
  constructor(
    private readonly g: GraphBuilder,
    private readonly write: (fresh: Value, name: string) => Value,
  ) {}

  /** Attends to the whole cache. */
  keep = (block: number, fresh: KeysAndValues): KeysAndValues => ({
    keys: this.#add("keys", block, fresh.keys),
    values: this.#add("values", block, fresh.values),
  });

  /** Attends to the fresh keys and values alone. */
  keepBut = (block: number, fresh: KeysAndValues): KeysAndValues => {
    this.keep(block, fresh);
    return fresh;
  };

  #add(kind: "keys" | "values", block: number, fresh: Value): Value {
    const name = nameOf(kind, block);
    const array = this.g.named(name, this.write(fresh, name), ["batch", null, "kv_heads", null]);
    this.written.set(name, array);
    return array;
  }
}
