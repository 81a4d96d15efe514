import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import type { Model } from "@lapidary/models";
import { hash32, hashString } from "@lapidary/std";
import type { OptimizerConfig } from "../optimizer/optimizer-config.js";
import { paramName, type StateSpec, trainState, valueRoleOf } from "./train-state.js";

/**
 * A program without inputs whose outputs are the first state of a run. Each array has its own random stream, keyed by seed
 * and name. An element depends only on its index in the whole array, so every sharding draws the same numbers.
 */
export function initProgram(model: Model, optimizer: OptimizerConfig, seed: number): Graph {
  return initGraph(trainState(model, optimizer), seed);
}

/** As `initProgram`, for some of the states. The others come from a checkpoint. */
export function initGraph(states: readonly StateSpec[], seed: number): Graph {
  const g = new GraphBuilder("init");
  for (const spec of states)
    g.output(
      spec.name,
      g.named(
        spec.name,
        g.inBlock(spec.block, () => draw(g, spec, seed)),
        spec.logicalAxes,
        valueRoleOf(spec),
      ),
    );
  return g.finish();
}

function draw(g: GraphBuilder, { name, dims, init, layers }: StateSpec, seed: number): Value {
  const keyOf = (of: string): number => hash32(seed, hashString(of));
  // The slices of a stack over stages are those of the model without stages.
  const [first = name, ...others] = layers?.map(paramName) ?? [];
  const keys = others.length === 0 ? undefined : [first, ...others].map(keyOf);
  // Each state needs its own constant; `splat` would share one.
  return init.kind === "normal"
    ? g.rngNormal(dims, keyOf(first), init.scale, keys)
    : g.op("constant", [], { value: init.kind === "ones" ? 1 : 0, dims, dtype: "f32" });
}
