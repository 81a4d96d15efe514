import type { Graph } from "./graph.js";

/** The blocks that values of a graph belong to. */
export const blocksOf = (graph: Graph): Set<number> => new Set(graph.values.flatMap(({ scope }) => scope.block ?? []));

/**
 * A name, or a sentence with names, in which `*` stands for the number of a block: values that do the same in every block are shown as one.
 * For display only: which values belong together is decided by `Value.scope`.
 *
 *     layers.3.mlp.down, blocks 0 to 3   →   layers.*.mlp.down
 */
export const withoutBlocks = (text: string, blocks: Iterable<number>): string =>
  [...blocks].reduce<string>((shown, block) => shown.replaceAll(`.${block}.`, ".*."), text);
