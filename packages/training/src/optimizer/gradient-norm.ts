import type { GraphBuilder, Value } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/** √Σ g² over all elements of all gradients: a scalar. */
export function globalNorm(g: GraphBuilder, gradients: readonly Value[]): Value {
  const squares = gradients.map((x) => {
    const dims = x.type.dims.map((_, d) => d);
    return dims.length === 0 ? g.square(x) : g.reduce(g.square(x), dims, "sum");
  });
  const [first, ...rest] = squares;
  assert(first !== undefined, "a norm has gradients");
  return g.named("grad_norm", g.sqrt(rest.reduce((sum, x) => g.add(sum, x), first)));
}

/** min(1, clip / norm): what scales gradients to a global norm of at most `clip` (Pascanu et al. 2013). */
export const clipScale = (g: GraphBuilder, norm: Value, clip: number): Value =>
  g.named("clip_scale", g.minimum(g.divide(g.scalar(clip), g.offset(norm, 1e-6)), g.scalar(1)));
