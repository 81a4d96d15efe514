import { type Graph, normalElement, sizeOf } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { type ArrayData, f32Array } from "../array-data.js";
import type { InitialState } from "./manifest.js";

/** A specification from which `run.py` draws a state. */
export type XlaInitSpec = Exclude<InitialState, { kind: "file" }>;

/**
 * The init spec of every output of an init program. One op draws each output.
 *
 * @param init a graph without parameters, such as training's `initGraph`
 */
export function initSpecsOf(init: Graph): Map<string, XlaInitSpec> {
  return new Map(
    init.outputs.map(({ name, value: id }): [string, XlaInitSpec] => {
      const value = ensure(init.values[id], name);
      if (value.op === "rng_normal") {
        const { key, scale, keys } = value.attrs;
        return [name, { kind: "normal", key, scale, ...(keys === undefined ? {} : { keys }) }];
      }
      if (value.op === "constant" && value.attrs.value === 0) return [name, { kind: "zeros" }];
      if (value.op === "constant" && value.attrs.value === 1) return [name, { kind: "ones" }];
      throw new LapidaryError({
        code: "LAP_EXPORT_INIT",
        message: `cannot export ${name}: its initial value comes from ${value.op}, which has no init spec`,
        location: name,
      });
    }),
  );
}

/** Draws the values of an init spec, equal to those of `rng_normal` on any shard. */
export function drawNormal(dims: readonly number[], spec: Extract<InitialState, { kind: "normal" }>): ArrayData {
  const data = new Float32Array(sizeOf(dims));
  const element = normalElement(spec, data.length);
  for (let i = 0; i < data.length; i++) data[i] = element(i);
  return f32Array(dims, data);
}
