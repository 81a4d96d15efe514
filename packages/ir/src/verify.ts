import { assert } from "@lapidary/std";
import type { OpName } from "./attrs.js";
import type { Graph, Value } from "./graph.js";
import { collectiveNames, opDef } from "./ops/index.js";
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
  const names = graph.values.flatMap((value) => (value.op === "parameter" ? [value.attrs.name] : []));
  assert(new Set(names).size === names.length, "parameter names are distinct", names);
  assert(new Set(graph.outputs.map((o) => o.name)).size === graph.outputs.length, "output names are distinct", graph.outputs);
  for (const { value } of graph.outputs) assert(value >= 0 && value < graph.values.length, "outputs exist", value);
}

function inferType(graph: Graph, value: Value): ReturnType<ReturnType<typeof opDef<OpName>>["type"]> {
  return opDef<OpName>(value.op).type(
    value.inputs.map((id) => (graph.values[id] as Value).type),
    value.attrs,
  );
}

const isIndex = (n: number | undefined): boolean => n === undefined || (Number.isSafeInteger(n) && n >= 0);

const describe = (value: Value): string => `%${value.id} = ${value.op} ${printType(value.type)} @${value.name}`;
