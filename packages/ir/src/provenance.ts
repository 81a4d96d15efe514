import type { Graph } from "./graph.js";

/** The numbers of the blocks, and of the chunks of the loss, that values of a graph belong to. */
export const blocksOf = (graph: Graph): Set<number> =>
  new Set(graph.values.flatMap(({ scope: { block, chunk } }) => [block, chunk].filter((index) => index !== undefined)));

/** The number of chunks in which a program computes the loss; 1 if it computes the loss whole, or no loss. */
export const lossChunkCount = (graph: Graph): number =>
  graph.values.reduce((most, { scope: { chunk = 0 } }) => Math.max(most, chunk + 1), 1);

/**
 * A name, or a sentence with names, with `*` in place of the number of a block or chunk. Displays use it to show the values of all
 * blocks as one. Code decides by `Value.scope` which values belong together.
 *
 *     layers.3.mlp.down, blocks 0 to 3   →   layers.*.mlp.down
 */
export const withoutBlocks = (text: string, blocks: ReadonlySet<number>): string =>
  text.replaceAll(/\.(0|[1-9]\d*)(?=\.)/g, (part, index: string) => (blocks.has(Number(index)) ? ".*" : part));
