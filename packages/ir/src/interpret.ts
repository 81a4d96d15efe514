import { assert, ensure } from "@lapidary/std";
import type { OpName } from "./attrs.js";
import type { Graph, Value } from "./graph.js";
import { opDef } from "./ops/index.js";
import { forEachRun } from "./region.js";
import { type Tensor, tensor } from "./tensor.js";
import { sameDims } from "./types.js";

/**
 * Evaluates a global graph on whole arrays in double precision. Tests compare every executor with it.
 *
 * @param inputs one array for each parameter, by name
 * @param through replaces each computed result, parameters included; by default it returns the result itself
 */
export function interpret(
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  through: (result: Tensor, value: Value) => Tensor = (result) => result,
): Map<string, Tensor> {
  assert(graph.level === "global", "the interpreter runs global graphs", graph.level);
  const results: Tensor[] = [];
  forEachRun(graph, (value, again) => {
    if (again !== undefined) {
      results[value.id] = ensure(results[again], "result of the iteration before");
      return;
    }
    if (value.op === "parameter") {
      const given = ensure(inputs.get(value.attrs.name), `input ${value.attrs.name}`);
      assert(sameDims(given.dims, value.type.dims), "an input has its parameter's dims", value.attrs.name, given.dims, value.type.dims);
      results[value.id] = through(tensor(value.type.dtype, value.type.dims, given.data), value);
      return;
    }
    const evaluate = ensure(opDef<OpName>(value.op).evaluate, `meaning of ${value.op}`);
    const operands = value.inputs.map((id) => ensure(results[id], "operand"));
    results[value.id] = through(evaluate(operands, value.attrs, value.type), value);
  });
  return new Map(graph.outputs.map(({ name, value }) => [name, ensure(results[value], name)]));
}
