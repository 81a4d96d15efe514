import type { Graph } from "@lapidary/ir";
import { bucketCollectives } from "./bucket-collectives.js";
import { padsToConcat } from "./pads-to-concat.js";
import { mergeReductions } from "./merge-reductions.js";
import { dropDead, mergeEqual } from "./rewrites.js";

export interface OptimizeOptions {
  /** Equal small collectives cross as one, up to so many bytes a chip together; 0: each alone. */
  readonly bucketBytes: number;
}

/** Named rewrites on per-chip programs, in order. They keep the meaning; `mergeReductions` alone changes the order of a sum. */
const rewrites: readonly { readonly name: string; readonly run: (graph: Graph, options: OptimizeOptions) => Graph }[] = [
  { name: "merge equal values", run: mergeEqual },
  { name: "join pads that lie side by side", run: padsToConcat },
  { name: "drop dead values", run: dropDead },
  { name: "merge reductions of a sum", run: mergeReductions },
  { name: "cross together what is small and equal", run: (graph, { bucketBytes }) => bucketCollectives(graph, bucketBytes) },
];

export const optimize = (graph: Graph, { bucketBytes = 0 }: Partial<OptimizeOptions> = {}): Graph =>
  rewrites.reduce((g, { run }) => run(g, { bucketBytes }), graph);
