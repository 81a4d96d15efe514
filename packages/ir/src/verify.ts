import { assert } from "@lapidary/std";
import type { OpName } from "./attrs.js";
import type { Graph, Value } from "./graph.js";
import { collectiveNames, opDef } from "./ops/index.js";
import { regionsOf } from "./region.js";
import { verifySharding } from "./sharding.js";
import { printType, sameType } from "./types.js";

/**
 * Checks the invariants of graphs at any level: values are in order, operands exist, types follow from the ops, shardings
 * have the right rank and no atom twice, parameter and output names are distinct, a global graph has no collectives.
 */
export function verifyGraph(graph: Graph): void {
  graph.values.forEach((value, i) => {
    assert(value.id === i, "a value's id is its position", graph.name, value.id, i);
    for (const id of value.inputs) assert(id >= 0 && id < i, "inputs come before their uses", graph.name, describe(value));
    assert(
      graph.level !== "global" || !collectiveNames.has(value.op),
      "collectives appear only in per-chip and host programs",
      describe(value),
    );
    if (value.op !== "parameter" && graph.level !== "host") {
      const inferred = inferType(graph, value);
      assert(sameType(inferred, value.type), "the type follows from the op", describe(value), printType(inferred));
    }
    const { block, chunk } = value.scope;
    assert(isIndex(block), "a block is an index", describe(value), block);
    assert(isIndex(chunk), "a chunk is an index", describe(value), chunk);
    if (value.sharding !== undefined) verifySharding(value.sharding, value.type.dims.length);
    if (value.logicalAxes !== undefined)
      assert(value.logicalAxes.length === value.type.dims.length, "one logical axis per dim", describe(value));
  });
  verifyRegions(graph);
  const names = graph.values.flatMap((value) => (value.op === "parameter" ? [value.attrs.name] : []));
  assert(new Set(names).size === names.length, "parameter names are distinct", names);
  assert(new Set(graph.outputs.map((o) => o.name)).size === graph.outputs.length, "output names are distinct", graph.outputs);
  for (const { value } of graph.outputs) assert(value >= 0 && value < graph.values.length, "outputs exist", value);
}

/** The invariants of `Region`. */
function verifyRegions(graph: Graph): void {
  const regions = regionsOf(graph);
  const numbers = new Set(regions.map(({ id }) => id));
  assert(numbers.size === regions.length, "the values of a region are neighbours", graph.name, regions);
  const regionOf = (id: number): number | undefined => graph.values[id]?.scope.region?.id;
  for (const { id, first, last, count, carries, yields } of regions) {
    const isWhole = graph.values.slice(first, last + 1).every(({ scope }) => scope.region?.id === id);
    assert(isWhole, "the values of a region are neighbours", graph.name, id);
    assert(Number.isSafeInteger(count) && count >= 1, "a region runs at least once", graph.name, count);
    assert(carries.length > 0 && carries.every((carry, i) => carry === first + i), "a region begins with its carries", graph.name, carries);
    assert(yields.length === carries.length && yields[0] === last - yields.length + 1, "a region ends with its yields", graph.name, yields);
    const carried = new Set(yields.map((at) => graph.values[at]?.inputs[0]));
    assert(
      carried.size === carries.length && carries.every((carry) => carried.has(carry)),
      "every carry has one yield",
      graph.name,
      carries,
    );
    for (const carry of carries)
      assert(regionOf(graph.values[carry]?.inputs[0] ?? -1) !== id, "a carry begins with a value before the region", carry);
  }
  for (const value of graph.values) {
    const own = value.scope.region?.id;
    if (own === undefined) assert(value.op !== "carry" && value.op !== "yield", "a carried value belongs to a region", describe(value));
    else assert(value.op !== "parameter", "a parameter belongs to no region", describe(value));
    for (const input of value.inputs) assert(isVisible(graph, input, own), "values after a region read its yields", describe(value), input);
  }
  for (const { name, value } of graph.outputs) assert(isVisible(graph, value, undefined), "outputs of a region are its yields", name);
}

/** Whether a value of the region `reader`, or outside of regions, may read the value. */
function isVisible(graph: Graph, id: number, reader: number | undefined): boolean {
  const value = graph.values[id];
  const region = value?.scope.region?.id;
  return region === undefined || (region === reader) !== (value?.op === "yield");
}

function inferType(graph: Graph, value: Value): ReturnType<ReturnType<typeof opDef<OpName>>["type"]> {
  return opDef<OpName>(value.op).type(
    value.inputs.map((id) => (graph.values[id] as Value).type),
    value.attrs,
  );
}

const isIndex = (n: number | undefined): boolean => n === undefined || (Number.isSafeInteger(n) && n >= 0);

const describe = (value: Value): string => `%${value.id} = ${value.op} ${printType(value.type)} @${value.name}`;
