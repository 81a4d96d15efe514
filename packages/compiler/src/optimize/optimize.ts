import type { Graph } from "@lapidary/ir";
import { joinPads } from "./join-pads.js";
import { mergeReductions } from "./merge-reductions.js";
import { dropDead, mergeEqual } from "./rewrites.js";

/** Named rewrites on per-chip programs, in order. They keep the meaning; `mergeReductions` alone changes the order of a sum. */
export const rewrites: readonly { readonly name: string; readonly run: (graph: Graph) => Graph }[] = [
  { name: "merge equal values", run: mergeEqual },
  { name: "join pads that lie side by side", run: joinPads },
  { name: "drop dead values", run: dropDead },
  { name: "merge reductions of a sum", run: mergeReductions },
];

export const optimize = (graph: Graph): Graph => rewrites.reduce((g, { run }) => run(g), graph);
