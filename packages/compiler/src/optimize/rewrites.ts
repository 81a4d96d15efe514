import { ensure } from "@lapidary/std";
import { type Graph, GraphBuilder, type Value, type ValueId, collectiveNames, yieldsByCarry } from "@lapidary/ir";

/** The number of a constant. JSON has one text for both infinities and NaN. */
const numberOf = (value: Value): string => (value.op === "constant" ? ` ${value.attrs.value}` : "");

/**
 * Merges values with equal op, operands, attributes and sharding. Recomputed values are not merged with forward values.
 * Collectives of different passes are not merged either: with the second gather of a param the result of the first can be freed.
 */
export function mergeEqual(graph: Graph): Graph {
  const seen = new Map<string, ValueId>();
  const to: ValueId[] = [];
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  for (const value of graph.values) {
    const inputs = value.inputs.map((id) => ensure(to[id], "operand"));
    const { phase } = value.scope;
    const pass = collectiveNames.has(value.op) || phase === "recompute" ? phase : "";
    const key =
      value.op === "parameter"
        ? `parameter ${value.attrs.name}`
        : `${JSON.stringify([value.op, inputs, value.attrs, value.type, value.sharding, pass])}${numberOf(value)}`;
    // A body reads values before its region. Values after the region do not read its body.
    const region = value.scope.region?.id;
    const own = `${region} ${key}`;
    const known = seen.get(own) ?? seen.get(`undefined ${key}`);
    if (known !== undefined && value.role === undefined && value.op !== "carry" && value.op !== "yield") {
      to.push(known);
      continue;
    }
    const made = copyInto(g, value, inputs);
    seen.set(own, made.id);
    to.push(made.id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(ensure(to[value], "output")));
  return g.finish();
}

/** Marks the operands of marked values. */
function markOperands(graph: Graph, alive: boolean[]): void {
  for (let id = graph.values.length - 1; id >= 0; id--)
    if (alive[id] === true) for (const input of ensure(graph.values[id], "value").inputs) alive[input] = true;
}

/** Removes values that no output needs. Parameters stay, because they are the program's interface. */
export function dropDead(graph: Graph): Graph {
  const alive = graph.values.map((value) => value.op === "parameter");
  for (const { value } of graph.outputs) alive[value] = true;
  markOperands(graph, alive);
  // A carry that is alive needs its yield, which needs the values of the next iteration.
  const yields = [...yieldsByCarry(graph)];
  const isMissing = ([carry, at]: readonly [ValueId, ValueId]): boolean => alive[carry] === true && alive[at] !== true;
  for (let missing = yields.filter(isMissing); missing.length > 0; missing = yields.filter(isMissing)) {
    for (const [, at] of missing) alive[at] = true;
    markOperands(graph, alive);
  }
  const to = new Map<ValueId, ValueId>();
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  for (const value of graph.values) if (alive[value.id] === true) to.set(value.id, copyValue(g, value, (id) => to.get(id)).id);
  for (const { name, value } of graph.outputs) g.output(name, g.get(ensure(to.get(value), "output")));
  return g.finish();
}

export function copyInto(g: GraphBuilder, value: Value, inputs: readonly ValueId[]): Value {
  return g.push(value.op, inputs, value.attrs, value.type, value);
}

/** Copies a value into another graph, on the copies of its operands. */
export function copyValue(g: GraphBuilder, value: Value, to: (id: ValueId) => ValueId | undefined): Value {
  return copyInto(
    g,
    value,
    value.inputs.map((id) => ensure(to(id), "operand")),
  );
}
