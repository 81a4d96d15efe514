import { type Graph, sizeOf } from "@lapidary/ir";
import { LapidaryError, must, normalAt } from "@lapidary/std";
import { type ArrayData, f32Array } from "../array-data.js";
import type { InitialState } from "./manifest.js";

/** How `run.py` draws a state by itself. */
export type XlaRecipe = Extract<InitialState, { kind: "zeros" | "normal" }>;

/**
 * The recipe of every output of an init program: each is drawn by one op.
 *
 * @param init a graph without parameters, such as training's `initGraph`
 */
export function recipesOf(init: Graph): Map<string, XlaRecipe> {
  return new Map(
    init.outputs.map(({ name, value: id }): [string, XlaRecipe] => {
      const value = must(init.values[id], name);
      if (value.op === "rng_normal") return [name, { kind: "normal", key: value.attrs.key, scale: value.attrs.scale }];
      if (value.op === "constant" && value.attrs.value === 0) return [name, { kind: "zeros" }];
      throw new LapidaryError({
        code: "LAP_EXPORT_INIT",
        message: `${name} begins as the result of ${value.op}, for which the export has no recipe`,
        place: name,
      });
    }),
  );
}

/** The numbers of a recipe, as `rng_normal` draws them on any shard. */
export function drawNormal(dims: readonly number[], { key, scale }: Extract<InitialState, { kind: "normal" }>): ArrayData {
  const data = new Float32Array(sizeOf(dims));
  for (let i = 0; i < data.length; i++) data[i] = normalAt(key, i) * scale;
  return f32Array(dims, data);
}
