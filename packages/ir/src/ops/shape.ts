import type { Value } from "../graph.js";
import {
  type Factor,
  type FactorMap,
  type OpDef,
  type OpFactors,
  afterLeading,
  defineOp,
  linearInFirst,
  movementTraits,
  sameAttrs,
} from "../op.js";
import { ShapeError } from "../shape-error.js";
import { type Tensor, forEachIndex, tensor } from "../tensor.js";
import { sameDims, sizeOf, stridesOf, tensorType } from "../types.js";

const zeros = (dims: readonly number[]): Float64Array => new Float64Array(sizeOf(dims));
const dataOf = (t: Tensor | undefined): Float64Array => t?.data ?? new Float64Array();
const at = (index: readonly number[], strides: readonly number[]): number => index.reduce((sum, i, d) => sum + i * (strides[d] ?? 0), 0);

const broadcastInDim = defineOp({
  name: "broadcast_in_dim",
  arity: 1,
  placed: false,
  producer: true,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: ["mask", "positions"],
  type: (inputs, { dims, broadcastDimensions: map }) => {
    const [x] = inputs;
    if (
      x === undefined ||
      map.length !== x.dims.length ||
      map.some((d, i) => d < 0 || d >= dims.length || (i > 0 && d <= (map[i - 1] ?? 0)) || (x.dims[i] !== 1 && x.dims[i] !== dims[d]))
    )
      throw new ShapeError("broadcast_in_dim", `operand does not broadcast to [${dims.join(",")}] along [${map.join(",")}]`, inputs);
    return tensorType(x.dtype, dims);
  },
  // The sum over the dims that the broadcast added or enlarged.
  vjp: (g, { inputs, grad, attrs }) => {
    const x = inputs[0] as Value;
    const summed = attrs.dims
      .map((_, d) => d)
      .filter(
        (d) => !(attrs.broadcastDimensions.includes(d) && (x.type.dims[attrs.broadcastDimensions.indexOf(d)] ?? 1) === attrs.dims[d]),
      );
    const reduced = summed.length === 0 ? grad : g.reduce(grad, summed, "sum");
    return [sameDims(reduced.type.dims, x.type.dims) ? reduced : g.reshape(reduced, x.type.dims)];
  },
  factors: ([x], output, { broadcastDimensions: map }) => ({
    factors: output.dims.map((size) => ({ size, kind: "pass" as const })),
    inputs: [map.map((d, i) => (x?.dims[i] === output.dims[d] ? [d] : []))],
    output: output.dims.map((_, d) => [d]),
  }),
  linearIn: linearInFirst,
  localize: (attrs, _, output) => ({ ...attrs, dims: output }),
  batch: ({ dims, broadcastDimensions }, { size }) => ({
    dims: [size, ...dims],
    broadcastDimensions: [0, ...afterLeading(broadcastDimensions)],
  }),
  flops: () => 0,
  evaluate: ([x], { broadcastDimensions: map }, out) => {
    const [data, dims] = [dataOf(x), x?.dims ?? []];
    const own = stridesOf(dims);
    const strides = out.dims.map((_, d) => (map.includes(d) && (dims[map.indexOf(d)] ?? 1) !== 1 ? (own[map.indexOf(d)] ?? 0) : 0));
    const result = zeros(out.dims);
    forEachIndex(out.dims, (index, flat) => {
      result[flat] = data[at(index, strides)] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

/**
 * Factors of a reshape. The function reads both shapes from the major end, and equal parts become shared factors.
 *
 *     [B, T, H·hd] → [B, T, H, hd]     factors B T H hd, the operand's last dim consists of (H, hd)
 *
 * If the remainders share no factor (6 and 4 after 2), the rest of the group is replicated.
 */
export function reshapeFactors(from: readonly number[], to: readonly number[]): OpFactors {
  const factors: Factor[] = [];
  const [input, output]: [number[][], number[][]] = [from.map(() => []), to.map(() => [])];
  const add = (size: number, kind: Factor["kind"]): number => factors.push({ size, kind }) - 1;
  for (let i = 0, j = 0; i < from.length || j < to.length; ) {
    // A group: the fewest dims of both sides that have equal numbers of elements.
    const [firstIn, firstOut] = [i, j];
    let [seenIn, seenOut] = [1, 1];
    do {
      if (seenIn <= seenOut && i < from.length) seenIn *= from[i++] ?? 1;
      else if (j < to.length) seenOut *= to[j++] ?? 1;
      else seenIn *= from[i++] ?? 1;
    } while (seenIn !== seenOut);
    alignGroup(firstIn, i, firstOut, j);
  }
  return { factors, inputs: [input], output };

  /** Adds shared factors from the major end while both sides have a common divisor. The rest is replicated. */
  function alignGroup(firstIn: number, endIn: number, firstOut: number, endOut: number): void {
    const [left, right] = [[...from], [...to]];
    let [p, q] = [firstIn, firstOut];
    while (p < endIn && q < endOut) {
      const [a, b] = [left[p] ?? 1, right[q] ?? 1];
      const common = gcd(a, b);
      if (common > 1) {
        const factor = add(common, "pass");
        input[p]?.push(factor);
        output[q]?.push(factor);
        left[p] = a / common;
        right[q] = b / common;
      }
      const [doneIn, doneOut] = [left[p] === 1, right[q] === 1];
      if (!doneIn && !doneOut) break;
      if (doneIn) p++;
      if (doneOut) q++;
    }
    for (; p < endIn; p++) if ((left[p] ?? 1) > 1) input[p]?.push(add(left[p] ?? 1, "replicate"));
    for (; q < endOut; q++) if ((right[q] ?? 1) > 1) output[q]?.push(add(right[q] ?? 1, "replicate"));
  }
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

const reshape = defineOp({
  name: "reshape",
  arity: 1,
  placed: false,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "view",
  preserves: ["mask", "positions"],
  type: (inputs, { dims }) => {
    const [x] = inputs;
    if (x === undefined || sizeOf(x.dims) !== sizeOf(dims)) throw new ShapeError("reshape", `does not fill [${dims.join(",")}]`, inputs);
    return tensorType(x.dtype, dims);
  },
  vjp: (g, { inputs, grad }) => [g.reshape(grad, (inputs[0] as Value).type.dims)],
  factors: ([x], output) => reshapeFactors(x?.dims ?? [], output.dims),
  linearIn: linearInFirst,
  localize: (_attrs, _inputs, output) => ({ dims: output }),
  batch: ({ dims }, { size }) => ({ dims: [size, ...dims] }),
  flops: () => 0,
  evaluate: ([x], _, out) => tensor(out.dtype, out.dims, dataOf(x)),
});

const transpose = defineOp({
  name: "transpose",
  arity: 1,
  placed: false,
  producer: false,
  movesData: true,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (inputs, { permutation }) => {
    const [x] = inputs;
    if (
      x === undefined ||
      permutation.length !== x.dims.length ||
      new Set(permutation).size !== permutation.length ||
      permutation.some((p) => p < 0 || p >= x.dims.length)
    )
      throw new ShapeError("transpose", `[${permutation.join(",")}] is not a permutation of the dims`, inputs);
    return tensorType(
      x.dtype,
      permutation.map((p) => x.dims[p] ?? 0),
    );
  },
  vjp: (g, { grad, attrs }) => [
    g.transpose(
      grad,
      attrs.permutation.map((_, d) => attrs.permutation.indexOf(d)),
    ),
  ],
  factors: ([x], _, { permutation }) => ({
    factors: (x?.dims ?? []).map((size) => ({ size, kind: "pass" as const })),
    inputs: [(x?.dims ?? []).map((_d, i) => [i])],
    output: permutation.map((p) => [p]),
  }),
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: ({ permutation }) => ({ permutation: [0, ...afterLeading(permutation)] }),
  flops: () => 0,
  evaluate: ([x], { permutation }, out) => {
    const [data, own, result] = [dataOf(x), stridesOf(x?.dims ?? []), zeros(out.dims)];
    const strides = permutation.map((p) => own[p] ?? 0);
    forEachIndex(out.dims, (index, flat) => {
      result[flat] = data[at(index, strides)] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

/** Dims that an op does not change are `pass` factors, all others `replicate` factors. */
function wholeDimFactors(input: readonly number[], output: readonly number[], whole: (d: number) => boolean): OpFactors {
  const factors: Factor[] = [];
  const [inMap, outMap]: [number[][], number[][]] = [[], []];
  input.forEach((size, d) => {
    if (whole(d)) {
      factors.push({ size, kind: "pass" });
      inMap.push([factors.length - 1]);
      outMap.push([factors.length - 1]);
    } else {
      factors.push({ size, kind: "replicate" }, { size: output[d] ?? 0, kind: "replicate" });
      inMap.push([factors.length - 2]);
      outMap.push([factors.length - 1]);
    }
  });
  return { factors, inputs: [inMap], output: outMap };
}

const slice = defineOp({
  name: "slice",
  arity: 1,
  ...movementTraits,
  fusible: "slice",
  type: (inputs, { start, limit }) => {
    const [x] = inputs;
    if (
      x === undefined ||
      start.length !== x.dims.length ||
      limit.length !== x.dims.length ||
      start.some((s, d) => s < 0 || s >= (limit[d] ?? 0) || (limit[d] ?? 0) > (x.dims[d] ?? 0))
    )
      throw new ShapeError("slice", `[${start.join(",")}] to [${limit.join(",")}] leaves the operand`, inputs);
    return tensorType(
      x.dtype,
      start.map((s, d) => (limit[d] ?? 0) - s),
    );
  },
  vjp: (g, { inputs, grad, attrs }) => [
    g.pad(
      grad,
      attrs.start,
      (inputs[0] as Value).type.dims.map((size, d) => size - (attrs.limit[d] ?? 0)),
    ),
  ],
  factors: ([x], output) => wholeDimFactors(x?.dims ?? [], output.dims, (d) => x?.dims[d] === output.dims[d]),
  linearIn: linearInFirst,
  // Sharded dims are not sliced: their limit is the local size.
  localize: ({ start, limit }, _inputs, output) => ({ start, limit: limit.map((_, d) => (start[d] ?? 0) + (output[d] ?? 0)) }),
  batch: ({ start, limit }, { size }) => ({ start: [0, ...start], limit: [size, ...limit] }),
  flops: () => 0,
  evaluate: ([x], { start }, out) => {
    const [data, own, result] = [dataOf(x), stridesOf(x?.dims ?? []), zeros(out.dims)];
    const base = at(start, own);
    forEachIndex(out.dims, (index, flat) => {
      result[flat] = data[base + at(index, own)] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

const pad = defineOp({
  name: "pad",
  arity: 1,
  ...movementTraits,
  type: (inputs, { low, high }) => {
    const [x] = inputs;
    if (x === undefined || low.length !== x.dims.length || high.length !== x.dims.length || [...low, ...high].some((p) => p < 0))
      throw new ShapeError("pad", "needs a low and a high count for every dim, both not negative", inputs);
    return tensorType(
      x.dtype,
      x.dims.map((size, d) => (low[d] ?? 0) + size + (high[d] ?? 0)),
    );
  },
  vjp: (g, { inputs, grad, attrs }) => [
    g.slice(
      grad,
      attrs.low,
      attrs.low.map((l, d) => l + ((inputs[0] as Value).type.dims[d] ?? 0)),
    ),
  ],
  factors: ([x], output, { low, high }) => wholeDimFactors(x?.dims ?? [], output.dims, (d) => low[d] === 0 && high[d] === 0),
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: ({ low, high }) => ({ low: [0, ...low], high: [0, ...high] }),
  flops: () => 0,
  evaluate: ([x], { low }, out) => {
    const [data, strides, result] = [dataOf(x), stridesOf(out.dims), zeros(out.dims)];
    const base = at(low, strides);
    forEachIndex(x?.dims ?? [], (index, flat) => {
      result[base + at(index, strides)] = data[flat] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

const concatenate = defineOp({
  name: "concatenate",
  arity: null,
  ...movementTraits,
  fusible: "concatenate",
  type: (inputs, { dimension }) => {
    const [first] = inputs;
    if (
      first === undefined ||
      dimension < 0 ||
      dimension >= first.dims.length ||
      inputs.some(
        (x) =>
          x.dtype !== first.dtype ||
          x.dims.length !== first.dims.length ||
          x.dims.some((size, d) => d !== dimension && size !== first.dims[d]),
      )
    )
      throw new ShapeError("concatenate", `operands must agree in all dims but ${dimension}`, inputs);
    return tensorType(
      first.dtype,
      first.dims.map((size, d) => (d === dimension ? inputs.reduce((n, x) => n + (x.dims[d] ?? 0), 0) : size)),
    );
  },
  vjp: (g, { inputs, grad, attrs }) => {
    let from = 0;
    return inputs.map((x) => {
      const start = x.type.dims.map((_, d) => (d === attrs.dimension ? from : 0));
      from += x.type.dims[attrs.dimension] ?? 0;
      return g.slice(
        grad,
        start,
        x.type.dims.map((size, d) => (start[d] ?? 0) + size),
      );
    });
  },
  factors: (inputs, output, { dimension }) => {
    const rank = output.dims.length;
    const factors: Factor[] = output.dims.map((size, d) => ({ size, kind: d === dimension ? "replicate" : "pass" }));
    const maps: FactorMap[] = inputs.map((x) => {
      factors.push({ size: x.dims[dimension] ?? 0, kind: "replicate" });
      return Array.from({ length: rank }, (_, d) => [d === dimension ? factors.length - 1 : d]);
    });
    return { factors, inputs: maps, output: output.dims.map((_, d) => [d]) };
  },
  linearIn: (_, arity) => [Array.from({ length: arity }, (_v, i) => i)],
  localize: sameAttrs,
  batch: ({ dimension }) => ({ dimension: dimension + 1 }),
  flops: () => 0,
  evaluate: (inputs, { dimension }, out) => {
    const [strides, result] = [stridesOf(out.dims), zeros(out.dims)];
    let base = 0;
    for (const x of inputs) {
      forEachIndex(x.dims, (index, flat) => {
        result[base + at(index, strides)] = x.data[flat] ?? 0;
      });
      base += (x.dims[dimension] ?? 0) * (strides[dimension] ?? 1);
    }
    return tensor(out.dtype, out.dims, result);
  },
});

export const shapeOps: { readonly [N in "broadcast_in_dim" | "reshape" | "transpose" | "slice" | "pad" | "concatenate"]: OpDef<N> } = {
  broadcast_in_dim: broadcastInDim,
  reshape,
  transpose,
  slice,
  pad,
  concatenate,
};
