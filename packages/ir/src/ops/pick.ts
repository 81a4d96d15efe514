import { ensure } from "@lapidary/std";
import { type Factor, type OpDef, defineOp, linearInFirst, movementTraits, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { forEachIndex, tensor } from "../tensor.js";
import { sizeOf, stridesOf, tensorType } from "../types.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";

/** The dim of the operand that dim `d` of the result is. */
export const pickedDim = (d: number, from: number): number => (d < from ? d : d + 1);

/**
 * One slice of dim `from` for each place of dim `by`: y[…, s, …] = x[…, table[s], …, s, …]. The table is that of the whole array on
 * every chip, so that a chip takes the entries of its places.
 */
const pick = defineOp({
  name: "pick",
  arity: 1,
  ...movementTraits,
  placed: true,
  type: (inputs, { from, by, table }) => {
    const [x] = inputs;
    const isDim = (d: number): boolean => d >= 0 && d < (x?.dims.length ?? 0);
    if (x === undefined || !isDim(from) || !isDim(by) || from === by)
      throw new ShapeError("pick", `needs two dims ${from} and ${by}`, inputs);
    if (table.length % (x.dims[by] ?? 1) !== 0 || table.some((at) => !Number.isInteger(at) || at < 0 || at >= (x.dims[from] ?? 0)))
      throw new ShapeError("pick", `needs for every place of dim ${by} a place of dim ${from}`, inputs);
    return tensorType(
      x.dtype,
      x.dims.filter((_, d) => d !== from),
    );
  },
  // Each place of the gradient goes to the slice that the table names, all other slices get zeros.
  vjp: (g, { inputs, grad, attrs }) => {
    const { dims } = (inputs[0] as Value).type;
    const same = dims.map((_, d) => d).filter((d) => d !== attrs.from);
    return [g.multiply(g.broadcastInDim(grad, dims, same), chosen(g, attrs, dims, grad.type.dtype))];
  },
  factors: ([x], _output, { from }) => {
    const { dims } = ensure(x, "operand");
    const factors: Factor[] = dims.map((size, d) => ({ size, kind: d === from ? "replicate" : "pass" }));
    const map = dims.map((_, d) => [d]);
    return { factors, inputs: [map], output: map.filter((_, d) => d !== from) };
  },
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: ({ from, by, table }) => ({ from: from + 1, by: by + 1, table }),
  flops: () => 0,
  evaluate: ([operand], { from, by, table }, out) => {
    const x = ensure(operand, "operand");
    const own = stridesOf(x.dims);
    const place = by < from ? by : by - 1;
    const result = new Float64Array(sizeOf(out.dims));
    forEachIndex(out.dims, (index, flat) => {
      const base = index.reduce((sum, i, d) => sum + i * (own[pickedDim(d, from)] ?? 0), 0);
      result[flat] = x.data[base + (table[index[place] ?? 0] ?? 0) * (own[from] ?? 0)] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

/** One where the table names the slice, zero elsewhere, in all of `dims`. */
function chosen(
  g: GradientBuilder,
  { from, by, table }: { readonly from: number; readonly by: number; readonly table: readonly number[] },
  dims: readonly number[],
  dtype: Value["type"]["dtype"],
): Value {
  const [slices, places] = [dims[from] ?? 1, dims[by] ?? 1];
  const whole = tensorType("i32", [slices, places]);
  // The number of the slice that the table names, for each place.
  const named = g.op("pick", [g.op("iota", [], { dims: whole.dims, dimension: 0, dtype: "i32" })], { from: 0, by: 1, table });
  const spread = g.broadcastInDim(named, whole.dims, [1]);
  const isNamed = g.compare(g.op("iota", [], { dims: whole.dims, dimension: 0, dtype: "i32" }), spread, "EQ");
  const ones = g.select(isNamed, g.splat(1, tensorType(dtype, whole.dims)), g.splat(0, tensorType(dtype, whole.dims)));
  const ordered = from < by ? ones : g.transpose(ones, [1, 0]);
  return g.broadcastInDim(ordered, dims, from < by ? [from, by] : [by, from]);
}

export const pickOps: { readonly pick: OpDef<"pick"> } = { pick };
