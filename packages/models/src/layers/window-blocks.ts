import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { hiddenBias } from "./hidden-bias.js";

/**
 * How attention with a window is computed in blocks. The queries of a block attend to the keys of their own block and of some blocks before it:
 *
 *     keys     │  0  │  1  │  2  │  3  │      previous = 1: block 2 attends to the keys of blocks 1 and 2.
 *     queries              │  2  │              Scores per row: count · length · (previous + 1) · length, not T · T.
 */
export interface WindowBlocks {
  readonly count: number;
  /** Positions of a block. */
  readonly length: number;
  /** Blocks before its own that a query can see. */
  readonly previous: number;
}

/** The blocks with the fewest keys for each query; undefined if all keys are not more. Few blocks before the own one keep copies of keys few. */
export function windowBlocks(positions: number, window: number): WindowBlocks | undefined {
  let best: WindowBlocks | undefined;
  const keysOf = ({ length, previous }: WindowBlocks): number => (previous + 1) * length;
  for (const previous of [1, 2]) {
    const smallest = Math.max(1, Math.ceil((window - 1) / previous));
    for (let length = smallest; (previous + 1) * length < positions; length++) {
      if (positions % length !== 0) continue;
      const blocks = { count: positions / length, length, previous };
      if (best === undefined || keysOf(blocks) < keysOf(best)) best = blocks;
      break;
    }
  }
  return best;
}

/** [B, T, ...] → [B, count, length, ...] */
export function toBlocks(g: GraphBuilder, x: Value, { count, length }: WindowBlocks): Value {
  const [B = 0, , ...rest] = x.type.dims;
  return g.reshape(x, [B, count, length, ...rest]);
}

/**
 * Keys or values [B, T, ...] → [B, count, (previous + 1) · length, ...]: those that each block sees. Zeros precede the first block. If chips
 * split the blocks, a chip sends its last block to the next chip, and no chip gathers keys.
 */
export function keysOfBlocks(g: GraphBuilder, x: Value, blocks: WindowBlocks): Value {
  const own = toBlocks(g, x, blocks);
  const seen = [own];
  for (let i = 0; i < blocks.previous; i++) seen.unshift(g.named("previous_block", g.shift(seen[0] ?? own, 1, 1, false)));
  return g.concatenate(seen, 2);
}

/** f32[count, length, (previous + 1) · length]: 0 for the last `window` positions up to that of the query, `hiddenBias` otherwise. */
export function blockBias(g: GraphBuilder, { count, length, previous }: WindowBlocks, window: number): Value {
  const dims = [count, length, (previous + 1) * length];
  const type = tensorType("i32", dims);
  const bias = tensorType("f32", dims);
  const [block, query, key] = [0, 1, 2].map((d) => g.iota(type, d)) as [Value, Value, Value];
  // Relative to the start of the query's block.
  const position = g.offset(key, -previous * length);
  const isVisible = g.and(g.compare(position, query, "LE"), g.compare(position, g.offset(query, -window), "GT"));
  const exists = g.compare(g.add(position, g.scale(block, length)), g.splat(0, type), "GE");
  return g.named("window_bias", g.select(g.and(isVisible, exists), g.splat(0, bias), g.splat(hiddenBias, bias)));
}
