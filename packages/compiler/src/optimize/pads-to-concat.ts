import { ensure } from "@lapidary/std";
import { type Graph, GraphBuilder, type Value, type ValueId, type ValueOf, useCounts } from "@lapidary/ir";
import { copyValue } from "./rewrites.js";

/**
 * Replaces a sum of complementary pads with zeros by the concatenation of their operands:
 *
 *     pad(a, low 0, high n) + pad(b, low m, high 0)         →   concatenate(a, b)
 *     (x + pad(a, low 0, high n)) + pad(b, low m, high 0)   →   x + concatenate(a, b)
 *
 * The derivative of a concatenation of slices contains such sums: rotary embedding exchanges halves. In every element one of the
 * two pads is zero, so that the result has the same bits.
 */
export function padsToConcat(graph: Graph): Graph {
  const uses = useCounts(graph);
  const valueOf = (id: ValueId): Value => ensure(graph.values[id], "value");
  const isInner = ({ id, role }: Value): boolean => uses[id] === 1 && role === undefined;
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to: ValueId[] = [];
  for (const value of graph.values) {
    const concat = value.op === "add" ? concatOf(value) : undefined;
    if (concat === undefined) {
      to.push(copyValue(g, value, (id) => to[id]).id);
      continue;
    }
    const { dimension, parts, rest } = concat;
    const placed = (id: ValueId): ValueId => ensure(to[id], "operand");
    const made = g.push(
      "concatenate",
      parts.map(placed),
      { dimension },
      value.type,
      rest === undefined ? value : { ...value, role: undefined },
    );
    to.push(rest === undefined ? made.id : g.push("add", [placed(rest), made.id], {}, value.type, value).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(ensure(to[value], "output")));
  return g.finish();

  /** The operands of two complementary pads in `sum`, and the other term of the sum. Undefined if `sum` adds no such pads. */
  function concatOf(sum: Value): { dimension: number; parts: readonly ValueId[]; rest?: ValueId } | undefined {
    const [a, b] = sum.inputs.map(valueOf) as [Value, Value];
    const direct = complement(a, b);
    if (direct !== undefined) return direct;
    for (const [pad, inner] of [
      [a, b],
      [b, a],
    ] as const) {
      if (inner.op !== "add" || !isInner(inner)) continue;
      for (const [i, other] of inner.inputs.entries()) {
        const found = complement(valueOf(other), pad);
        if (found !== undefined) return { ...found, rest: ensure(inner.inputs[1 - i], "operand") };
      }
    }
    return undefined;
  }

  /** The operands of two pads in their order along the dim, if each pad is zero exactly in the part of the other operand. */
  function complement(a: Value, b: Value): { dimension: number; parts: readonly ValueId[] } | undefined {
    if (a.op !== "pad" || b.op !== "pad" || a.id === b.id || !isInner(a) || !isInner(b)) return undefined;
    const [dimension, ...others] = [...new Set([...padded(a), ...padded(b)])];
    if (dimension === undefined || others.length > 0) return undefined;
    const sizeOf = (pad: Value): number => ensure(valueOf(ensure(pad.inputs[0], "operand")).type.dims[dimension], "dim");
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const)
      if (
        first.attrs.low[dimension] === 0 &&
        first.attrs.high[dimension] === sizeOf(second) &&
        second.attrs.low[dimension] === sizeOf(first) &&
        second.attrs.high[dimension] === 0
      )
        return { dimension, parts: [ensure(first.inputs[0], "part"), ensure(second.inputs[0], "part")] };
    return undefined;
  }
}

const padded = ({ attrs: { low, high } }: ValueOf<"pad">): number[] => low.map((_, d) => d).filter((d) => low[d] !== 0 || high[d] !== 0);
