import type { GraphBuilder, Value } from "@lapidary/ir";

/** cap · tanh(x / cap): nearly x for small numbers, and never beyond the cap. Without a cap, x. */
export const softCap = (g: GraphBuilder, x: Value, cap: number | undefined): Value =>
  cap === undefined ? x : g.scale(g.tanh(g.scale(x, 1 / cap)), cap);
