import type { Graph } from "@lapidary/ir";
import { bucketCollectives } from "./bucket-collectives.js";
import { padsToConcat } from "./pads-to-concat.js";
import { narrowMoves } from "./narrow-moves.js";
import { mergeReductions } from "./merge-reductions.js";
import { dropDead, mergeEqual } from "./rewrites.js";

export interface OptimizeOptions {
  /** Maximum bytes of a bucket of equal small collectives on one chip; 0: no buckets. */
  readonly bucketBytes: number;
}

/** Named rewrites of per-chip programs, in order. They keep the meaning. Only `mergeReductions` changes the order of a sum. */
const rewrites: readonly { readonly name: string; readonly run: (graph: Graph, options: OptimizeOptions) => Graph }[] = [
  { name: "merge equal values", run: mergeEqual },
  { name: "replace sums of pads by concatenations", run: padsToConcat },
  { name: "move the narrower type between chips", run: narrowMoves },
  { name: "remove dead values", run: dropDead },
  { name: "merge reductions of a sum", run: mergeReductions },
  { name: "combine small equal collectives", run: (graph, { bucketBytes }) => bucketCollectives(graph, bucketBytes) },
];

export const optimize = (graph: Graph, { bucketBytes = 0 }: Partial<OptimizeOptions> = {}): Graph =>
  rewrites.reduce((g, { run }) => run(g, { bucketBytes }), graph);
