import { type Graph, GraphBuilder, sizeOf, type Value } from "@lapidary/ir";
import type { StepArgument } from "@lapidary/stablehlo";
import { hash32, hashString } from "@lapidary/std";

/** Params that multiply, and those that are added, by the last part of their name. Those of several layers may be stacked. */
const multiplies = /(?:scale|gamma|norm)\d*$/i;
const isAdded = /^(?:b|.*bias|beta)\d*$/i;

/** The argument without the parts of its path that libraries add: `.value`, `[0]`. */
const lastPart = (leaf: string): string =>
  (leaf.match(/\w+/g) ?? []).filter((part) => part !== "value" && !/^\d+$/.test(part)).at(-1) ?? leaf;

/**
 * A program without inputs whose outputs are the first state of a step, for leaves that no file has:
 *
 *     scales             ones: a param whose name ends in scale, gamma or norm
 *     biases             zeros: a param named bias, b or beta, and other vectors
 *     matrices           normal, with deviation 1/√(rows)
 *     optimizer state    zeros, like integers
 *
 * Each array has its own random stream, keyed by seed and name. So every sharding draws the same numbers.
 */
export function initialState(states: readonly StepArgument[], seed: number): Graph {
  const g = new GraphBuilder("init");
  for (const { name, leaf, type, role } of states)
    g.output(name, g.named(name, draw(g, { name, leaf, type, role }, seed), undefined, role));
  return g.finish();
}

function draw(g: GraphBuilder, { name, leaf, type, role }: Pick<StepArgument, "name" | "leaf" | "type" | "role">, seed: number): Value {
  const { dtype, dims } = type;
  // Each state needs its own constant; `splat` would share one.
  const filled = (value: number): Value => g.op("constant", [], { value, dims, dtype });
  if (role !== "param" || (dtype !== "f32" && dtype !== "bf16") || sizeOf(dims) === 0) return filled(0);
  if (multiplies.test(lastPart(leaf))) return filled(1);
  if (dims.length < 2 || isAdded.test(lastPart(leaf))) return filled(0);
  const drawn = g.rngNormal(dims, hash32(seed, hashString(name)), 1 / Math.sqrt(dims.at(-2) ?? 1));
  return dtype === "f32" ? drawn : g.convert(drawn, dtype);
}
