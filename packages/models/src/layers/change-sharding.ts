import type { GraphBuilder, LogicalAxes, Value } from "@lapidary/ir";

/**
 * `x` with the sharding of `from` before this point and that of `to` after it. The backward pass changes it back at the same point,
 * because the gradient of a constrain has the axes of the constrain.
 */
export const changeSharding = (g: GraphBuilder, name: string, x: Value, from: LogicalAxes, to: LogicalAxes): Value =>
  g.named(name, g.constrain(g.constrain(x, from), to));
