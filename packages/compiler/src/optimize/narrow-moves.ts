import { bytesPerElement, type Graph, GraphBuilder, type Value, type ValueId, useCounts } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { copyValue } from "./rewrites.js";

/**
 * Moves the narrower type between chips: a conversion to a wider type is computed after the collective, and one to a narrower type before it.
 *
 *     all_gather(convert(w: bf16 → f32))   →   convert(all_gather(w): bf16 → f32)
 *     convert(all_gather(w): f32 → bf16)   →   all_gather(convert(w: f32 → bf16))
 *
 * The collective only moves elements, so that the result has the same bits.
 */
export function narrowMoves(graph: Graph): Graph {
  const uses = useCounts(graph);
  const valueOf = (id: ValueId | undefined): Value => ensure(graph.values[id ?? -1], "operand");
  const isMove = ({ op }: Value): boolean => op === "all_gather" || op === "all_to_all" || op === "collective_permute";
  const bytes = ({ type }: Value): number => bytesPerElement[type.dtype];
  /** Whether `move` moves the result of a conversion to a wider type. */
  const isWide = (move: Value): boolean => {
    if (!isMove(move) || move.role !== undefined) return false;
    const converted = valueOf(move.inputs[0]);
    return isConversion(converted) && bytes(valueOf(converted.inputs[0])) < bytes(converted);
  };
  /** Whether a conversion to a narrower type is the only reader of a move. */
  const isNarrowed = (value: Value): boolean => {
    if (!isConversion(value)) return false;
    const move = valueOf(value.inputs[0]);
    return isMove(move) && uses[move.id] === 1 && move.role === undefined && !isWide(move) && bytes(value) < bytes(move);
  };
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to: ValueId[] = [];
  const placed = (id: ValueId | undefined): ValueId => ensure(to[id ?? -1], "operand");
  const move = (value: Value, operand: ValueId, dims: readonly number[]): Value =>
    g.push(value.op, [operand], value.attrs, { dtype: g.get(operand).type.dtype, dims }, value);
  for (const value of graph.values) {
    if (isWide(value)) {
      const converted = valueOf(value.inputs[0]);
      const moved = move(value, placed(converted.inputs[0]), value.type.dims);
      to.push(g.push("convert", [moved.id], { dtype: value.type.dtype }, value.type, { ...converted, ...placeOf(value) }).id);
    } else if (isNarrowed(value)) {
      const moved = valueOf(value.inputs[0]);
      const operand = valueOf(moved.inputs[0]);
      const type = { dtype: value.type.dtype, dims: operand.type.dims };
      const converted = g.push("convert", [placed(operand.id)], { dtype: value.type.dtype }, type, { ...value, ...placeOf(operand) });
      to.push(move(moved, converted.id, value.type.dims).id);
    } else to.push(copyValue(g, value, (id) => to[id]).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(placed(value)));
  return g.finish();
}

const isConversion = ({ op, role }: Value): boolean => op === "convert" && role === undefined;

/** The sharding of a value of the same chips. */
const placeOf = ({ sharding }: Value): Pick<Value, "sharding"> => (sharding === undefined ? {} : { sharding });
