import { deepStrictEqual, ok } from "node:assert/strict";
import {
  type Graph,
  GraphBuilder,
  inlineBatched,
  interpret,
  isFloat,
  parametersOf,
  type Tensor,
  tensor,
  type Value,
  verifyGraph,
} from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import fc from "fast-check";
import { randomGraph, randomInputs, withGradients } from "./random-graph.js";

const places = 3;

/** A random graph without regions, which are never batched. */
function fragmentOf(seed: number): Graph {
  const graph = randomGraph(seededRandom(seed), 1 + (seed % 12), { smooth: seed % 2 === 0 });
  const isPlain = (value: Value): boolean => value.scope.region === undefined;
  return graph.values.every(isPlain) ? (seed % 2 === 0 ? withGradients(graph) : graph) : fragmentOf(seed + 1);
}

/** Integers decide rows and starts: all places share them. */
const isShared = ({ type }: Pick<Value, "type">): boolean => !isFloat(type.dtype);

describe("a graph with one more leading dim", () => {
  it("every place of random graphs computes what the graph computes from its part of the inputs", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 30 }), (seed) => {
        const fragment = fragmentOf(seed);
        const random = seededRandom(seed);
        const own = Array.from({ length: places }, () => randomInputs(random, fragment));
        const first = ensure(own[0], "inputs");
        const g = new GraphBuilder("batched");
        const inputs = new Map(
          parametersOf(fragment).map((p): [string, Value] => [
            p.attrs.name,
            g.parameter(p.attrs.name, { ...p.type, dims: isShared(p) ? p.type.dims : [places, ...p.type.dims] }),
          ]),
        );
        for (const [name, value] of inlineBatched(g, fragment, { size: places, axis: "stages", inputs, prefix: "" })) g.output(name, value);
        const batched = g.finish();
        verifyGraph(batched);
        const stacked = new Map(
          parametersOf(batched).map(({ attrs: { name }, type }): [string, Tensor] => [
            name,
            type.dims.length === ensure(first.get(name), name).dims.length
              ? ensure(first.get(name), name)
              : tensor(type.dtype, type.dims, Float64Array.from(own.flatMap((each) => [...ensure(each.get(name), name).data]))),
          ]),
        );
        const results = interpret(batched, stacked);
        own.forEach((each, place) => {
          const shared = new Map([...each].map(([name, x]) => [name, x.dtype === "i32" ? ensure(first.get(name), name) : x]));
          for (const [name, { dims, data }] of interpret(fragment, shared)) {
            const all = ensure(results.get(name), name);
            deepStrictEqual(all.dims, [places, ...dims], name);
            data.forEach((x, i) => {
              const got = all.data[place * data.length + i] ?? Number.NaN;
              ok(Math.abs(got - x) <= 1e-9 * Math.max(1, Math.abs(x)), `seed ${seed}, place ${place}: ${name}[${i}] is ${got} for ${x}`);
            });
          }
        });
      }),
      { numRuns: Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 200) },
    );
  }).timeout(0);
});
