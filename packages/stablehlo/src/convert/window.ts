import { tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { bodyOf, integer, integers } from "./attribute-values.js";
import { applyBody } from "./body.js";
import { combinerOf, product, reduceBy } from "./contraction.js";
import { dtypeOf, isUnsigned, uniformOf } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import { padValue, reversed, stridedSlice } from "./shape.js";
import { lessUnsigned } from "./unsigned.js";

/** Windows of more elements than this are refused, because each element of a window becomes a slice. */
const maxTaps = 512;

/** Positions inside of a window, row-major. */
function positions(size: readonly number[]): number[][] {
  const count = size.reduce((n, d) => n * d, 1);
  if (count > maxTaps) throw new Unconvertible(`a window of ${count} elements is not supported (at most ${maxTaps})`);
  return size.reduce<number[][]>((all, n) => all.flatMap((head) => Array.from({ length: n }, (_, i) => [...head, i])), [[]]);
}

interface Window {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly baseDilation: readonly number[];
  readonly dilation: readonly number[];
}

function windowOf(c: OpContext, size: readonly number[], names: { strides: string; base: string; window: string }): Window {
  const ones = size.map(() => 1);
  const padding = integers(c.op, "padding") ?? size.flatMap(() => [0, 0]);
  return {
    size,
    strides: integers(c.op, names.strides) ?? ones,
    low: size.map((_, d) => padding[2 * d] ?? 0),
    high: size.map((_, d) => padding[2 * d + 1] ?? 0),
    baseDilation: integers(c.op, names.base) ?? ones,
    dilation: integers(c.op, names.window) ?? ones,
  };
}

/** The elements at one position of all windows: a strided slice of the padded operand. `dims` are the windowed dims of `x`. */
function tap(
  c: OpContext,
  padded: Value,
  window: Window,
  dims: readonly number[],
  position: readonly number[],
  counts: readonly number[],
): Value {
  const start = padded.type.dims.map(() => 0);
  const limit = [...padded.type.dims];
  const strides = padded.type.dims.map(() => 1);
  dims.forEach((d, i) => {
    start[d] = (position[i] ?? 0) * (window.dilation[i] ?? 1);
    strides[d] = window.strides[i] ?? 1;
    limit[d] = (start[d] ?? 0) + ((counts[i] ?? 1) - 1) * (strides[d] ?? 1) + 1;
  });
  return stridedSlice(c, padded, start, limit, strides);
}

function padded(c: OpContext, x: Value, window: Window, dims: readonly number[], filler: number): Value {
  const spread = (list: readonly number[]): number[] => x.type.dims.map((_, d) => (dims.includes(d) ? (list[dims.indexOf(d)] ?? 0) : 0));
  return padValue(c, x, spread(window.low), spread(window.high), spread(window.baseDilation.map((n) => n - 1)), filler);
}

/** A sum of products of slices, over the positions of the kernel or over those of the result: over the fewer. */
const convolution: Converter = (c) => {
  const layout = /^\[(.*?)\]x\[(.*?)\]->\[(.*?)\]$/s.exec(bodyOf(c.op.attributes.get("dimension_numbers")).replace(/\s/g, ""));
  const [input, kernel, output] = [layout?.[1], layout?.[2], layout?.[3]].map((part) => part?.split(",") ?? []);
  if (input === undefined || kernel === undefined || output === undefined || layout === null)
    throw new Unconvertible("its dimension numbers are not readable");
  const [groups, batchGroups] = [integer(c.op, "feature_group_count") ?? 1, integer(c.op, "batch_group_count") ?? 1];
  const spatial = Array.from({ length: input.length - 2 }, (_, i) => String(i));
  // lhs: [batch, spatial…, feature]; rhs: [spatial…, input feature, output feature].
  const lhs = c.b.transpose(c.value(0), [input.indexOf("b"), ...spatial.map((s) => input.indexOf(s)), input.indexOf("f")]);
  const rhs = c.b.transpose(c.value(1), [...spatial.map((s) => kernel.indexOf(s)), kernel.indexOf("i"), kernel.indexOf("o")]);
  const size = spatial.map((_, i) => rhs.type.dims[i] ?? 1);
  const window = windowOf(c, size, { strides: "window_strides", base: "lhs_dilation", window: "rhs_dilation" });
  const reversal = integers(c.op, "window_reversal") ?? [];
  const dims = spatial.map((_, i) => i + 1);
  const whole = padded(c, lhs, window, dims, 0);
  const counts = dims.map(
    (d, i) => Math.floor(((whole.type.dims[d] ?? 0) - ((size[i] ?? 1) - 1) * (window.dilation[i] ?? 1) - 1) / (window.strides[i] ?? 1)) + 1,
  );
  const conv: Convolution = { input: whole, kernel: rhs, window, dims, counts, reversal, groups, batchGroups };
  const sum = count(counts) < count(size) ? sumOfOutputs(c, conv) : sumOfTaps(c, conv);
  // [batch, spatial…, feature] → the order of the result.
  const own = ["b", ...spatial, "f"];
  return c.results(
    c.b.convert(
      c.b.transpose(
        sum,
        output.map((name) => own.indexOf(name)),
      ),
      dtypeOf(c.result().element) ?? "f32",
    ),
  );
};

interface Convolution {
  /** [batch, spatial…, in], padded. */
  readonly input: Value;
  /** [spatial…, in, out] */
  readonly kernel: Value;
  readonly window: Window;
  /** The spatial dims of the input. */
  readonly dims: readonly number[];
  /** The spatial sizes of the result. */
  readonly counts: readonly number[];
  readonly reversal: readonly number[];
  readonly groups: number;
  readonly batchGroups: number;
}

const count = (sizes: readonly number[]): number => sizes.reduce((n, d) => n * d, 1);

/** For every position of the kernel: a slice of the input times the weights of that position, summed. */
function sumOfTaps(c: OpContext, { input, kernel, window, dims, counts, reversal, groups, batchGroups }: Convolution): Value {
  let sum: Value | undefined;
  for (const position of positions(window.size)) {
    const at = position.map((p, i) => (reversal[i] === 1 ? (window.size[i] ?? 1) - 1 - p : p));
    const weights = c.b.reshape(
      c.b.slice(kernel, [...at, 0, 0], [...at.map((p) => p + 1), ...kernel.type.dims.slice(-2)]),
      kernel.type.dims.slice(-2),
    );
    const part = tapProduct(c, tap(c, input, window, dims, position, counts), weights, groups, batchGroups);
    sum = sum === undefined ? part : c.b.add(sum, part);
  }
  if (sum === undefined) throw new Unconvertible("its window is empty");
  return sum;
}

/**
 * For every position of the result: the window of the input times the whole kernel. Gradients of weights are convolutions with a large kernel and
 * few positions.
 */
function sumOfOutputs(c: OpContext, { input, kernel, window, dims, counts, reversal, groups, batchGroups }: Convolution): Value {
  const flipped = dims.reduce((w, _, i) => (reversal[i] === 1 ? reversed(c, w, i) : w), kernel);
  const moving: Window = { ...window, size: counts, strides: window.dilation, dilation: window.strides };
  const parts = positions(counts).map((position) => {
    const taken = tap(c, input, moving, dims, position, window.size);
    return windowProduct(c, taken, flipped, dims, groups, batchGroups);
  });
  const [batch = 1, out = 1] = parts[0]?.type.dims ?? [];
  const joined = c.b.concatenate(
    parts.map((part) => c.b.reshape(part, [batch, 1, out])),
    1,
  );
  return c.b.reshape(joined, [batch, ...counts, out]);
}

/** [batch, spatial…, in] × [spatial…, in, out] → [batch, out], summed over all spatial dims. */
function windowProduct(c: OpContext, x: Value, kernel: Value, dims: readonly number[], groups: number, batchGroups: number): Value {
  const [inDim, out] = [dims.length + 1, kernel.type.dims.at(-1) ?? 1];
  if (groups === 1 && batchGroups === 1) {
    const pairs = [...dims, inDim].map((d): [number, number] => [d, d - 1]);
    return product(c, x, kernel, [], pairs, "f32");
  }
  const split = groups > 1 ? groups : batchGroups;
  const weights = c.b.reshape(kernel, [...kernel.type.dims.slice(0, -1), split, out / split]);
  // The group becomes the first dim of the input: a part of its features, or of its batch.
  const sizes = x.type.dims;
  const grouped =
    groups > 1
      ? c.b.transpose(c.b.reshape(x, [...sizes.slice(0, -1), split, (sizes.at(-1) ?? 1) / split]), [
          inDim,
          ...Array.from({ length: inDim }, (_, d) => d),
          inDim + 1,
        ])
      : c.b.reshape(x, [split, (sizes[0] ?? 1) / split, ...sizes.slice(1)]);
  const pairs = [...dims, inDim].map((d): [number, number] => [d + 1, d - 1]);
  const y = product(c, grouped, weights, [[0, kernel.type.dims.length - 1]], pairs, "f32");
  // [group, batch, out / group] → [batch, out]
  return c.b.reshape(c.b.transpose(y, [1, 0, 2]), [y.type.dims[1] ?? 1, out]);
}

/** [batch, spatial…, in] × [in, out] → [batch, spatial…, out]. Groups of features or of batch elements are batch dims of the product. */
function tapProduct(c: OpContext, x: Value, weights: Value, groups: number, batchGroups: number): Value {
  const { dims } = x.type;
  const rank = dims.length;
  const out = weights.type.dims[1] ?? 1;
  if (groups === 1 && batchGroups === 1) return product(c, x, weights, [], [[rank - 1, 0]], "f32");
  const split = groups > 1 ? groups : batchGroups;
  const perGroup = c.b.reshape(weights, [weights.type.dims[0] ?? 1, split, out / split]);
  // The group becomes the first dim of both operands.
  const grouped =
    groups > 1
      ? c.b.transpose(c.b.reshape(x, [...dims.slice(0, -1), split, (dims.at(-1) ?? 1) / split]), [
          rank - 1,
          ...dims.slice(0, -1).map((_, d) => d),
          rank,
        ])
      : c.b.reshape(x, [split, (dims[0] ?? 1) / split, ...dims.slice(1)]);
  const y = product(c, grouped, perGroup, [[0, 1]], [[grouped.type.dims.length - 1, 0]], "f32");
  const last = y.type.dims.length - 1;
  const ordered = c.b.transpose(y, [...Array.from({ length: last - 1 }, (_, d) => d + 1), 0, last]);
  return c.b.reshape(ordered, [...ordered.type.dims.slice(0, -2), out]);
}

/** Maximum, minimum or sum over windows: of the elements at each position of the window. Sums along a whole dim double. */
const reduceWindow: Converter = (c) => {
  if (c.args.length !== 2) throw new Unconvertible("a reduction of windows of several arrays is not supported");
  const combiner = combinerOf(c.op.regions[0]) ?? "region";
  if (combiner === "second") throw new Unconvertible("its reducer returns one of its operands");
  const init = uniformOf(c.arg(1));
  if (init === undefined) throw new Unconvertible("an initial value that is computed is not supported");
  const x = c.value(0);
  const window = windowOf(c, integers(c.op, "window_dimensions") ?? [], {
    strides: "window_strides",
    base: "base_dilations",
    window: "window_dilations",
  });
  const cumulative = cumulativeSum(c, x, window, combiner, init);
  if (cumulative !== undefined) return c.results(cumulative);
  const dims = x.type.dims.map((_, d) => d);
  const whole = padded(c, x, window, dims, init);
  const { dims: counts } = c.result();
  const taps = positions(window.size).map((position) => tap(c, whole, window, dims, position, counts));
  return c.results(taps.reduce((all, part) => combine(c, combiner, all, part)));
};

/** Combines elements of windows. "region" is a combiner of several operations. */
function combine(c: OpContext, combiner: string, a: Value, b: Value): Value {
  if (combiner === "region") return ensure(applyBody(c, c.op.regions[0], [a, b])[0], "result of a reducer");
  if (isUnsigned(c.arg(0).element) && (combiner === "maximum" || combiner === "minimum")) {
    const isLess = lessUnsigned(c.b, a, b);
    return combiner === "maximum" ? c.b.select(isLess, b, a) : c.b.select(isLess, a, b);
  }
  if (a.type.dtype === "pred") {
    const joined = c.b.concatenate(
      [a, b].map((v) => c.b.reshape(v, [1, ...v.type.dims])),
      0,
    );
    return reduceBy(c, joined, [0], combiner === "and" ? "and" : "or");
  }
  if (combiner === "add" || combiner === "multiply" || combiner === "minimum" || combiner === "maximum") return c.b[combiner](a, b);
  throw new Unconvertible(`a window reduction by ${combiner} is not supported`);
}

/** A cumulative reduction along one dim: a window as long as the dim, padded at one end. Each pass doubles the reduced length. */
function cumulativeSum(
  c: OpContext,
  x: Value,
  { size, low, high, strides, baseDilation, dilation }: Window,
  combiner: string,
  init: number,
): Value | undefined {
  const [d] = size.flatMap((n, i) => (n > 1 ? [i] : []));
  const length = d === undefined ? 0 : (x.type.dims[d] ?? 0);
  const plain = [...strides, ...baseDilation, ...dilation].every((n) => n === 1) && size.filter((n) => n > 1).length === 1;
  if (d === undefined || !plain || size[d] !== length) return undefined;
  const [before, after] = [low[d] ?? 0, high[d] ?? 0];
  if (low.some((n, i) => i !== d && n !== 0) || high.some((n, i) => i !== d && n !== 0)) return undefined;
  const fromStart = before === length - 1 && after === 0;
  if (!fromStart && !(before === 0 && after === length - 1)) return undefined;
  let y = x;
  for (let shift = 1; shift < length; shift *= 2) {
    const edge = c.b.splat(
      init,
      tensorType(
        x.type.dtype,
        x.type.dims.map((n, i) => (i === d ? shift : n)),
      ),
    );
    const rest = c.b.slice(
      y,
      y.type.dims.map((_, i) => (i === d && !fromStart ? shift : 0)),
      y.type.dims.map((n, i) => (i === d && fromStart ? n - shift : n)),
    );
    y = combine(c, combiner, y, c.b.concatenate(fromStart ? [edge, rest] : [rest, edge], d));
  }
  return y;
}

/** The gradient of max pooling: each window gives its number to its first element that equals the window's maximum. */
const selectAndScatter: Converter = (c) => {
  const [x, source] = [c.value(0), c.value(1)];
  if (uniformOf(c.arg(2)) !== 0 || combinerOf(c.op.regions[1]) !== "add")
    throw new Unconvertible("it is supported only with a sum that begins with 0");
  const direction = selectorOf(c);
  const size = integers(c.op, "window_dimensions") ?? [];
  const window = windowOf(c, size, { strides: "window_strides", base: "", window: "" });
  const dims = x.type.dims.map((_, d) => d);
  const filler = direction === "GE" ? -Infinity : Infinity;
  const whole = padded(c, x, window, dims, filler);
  const counts = source.type.dims;
  const all = positions(size).map((position) => ({ position, elements: tap(c, whole, window, dims, position, counts) }));
  const best = all.map(({ elements }) => elements).reduce((a, b) => (direction === "GE" ? c.b.maximum(a, b) : c.b.minimum(a, b)));
  let taken: Value | undefined;
  let sum: Value | undefined;
  for (const { position, elements } of all) {
    const equal = c.b.compare(elements, best, "EQ");
    const hit: Value = taken === undefined ? equal : c.b.select(taken, c.b.splat(0, equal.type), equal);
    taken = taken === undefined ? equal : c.b.select(taken, c.b.splat(1, equal.type), equal);
    const share = c.b.select(hit, source, c.b.splat(0, source.type));
    const low = position.map((p, d) => p - (window.low[d] ?? 0));
    const interior = window.strides.map((s) => s - 1);
    const high = dims.map((d) => (x.type.dims[d] ?? 0) - (low[d] ?? 0) - (((counts[d] ?? 1) - 1) * (window.strides[d] ?? 1) + 1));
    const placed = padValue(c, share, low, high, interior, 0);
    sum = sum === undefined ? placed : c.b.add(sum, placed);
  }
  if (sum === undefined) throw new Unconvertible("its window is empty");
  return c.results(sum);
};

function selectorOf(c: OpContext): "GE" | "LE" {
  const [first, second] = c.op.regions[0]?.blocks[0]?.operations ?? [];
  const direction = bodyOf(first?.attributes.get("comparison_direction"));
  if (first?.name !== "stablehlo.compare" || second?.name !== "stablehlo.return" || (direction !== "GE" && direction !== "LE"))
    throw new Unconvertible("its selector is neither GE nor LE");
  return direction;
}

export const windowConverters: Readonly<Record<string, Converter>> = {
  convolution,
  reduce_window: reduceWindow,
  select_and_scatter: selectAndScatter,
};
