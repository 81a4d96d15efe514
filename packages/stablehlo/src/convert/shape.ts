import { sizeOf, stridesOf, tensorType, type Value } from "@lapidary/ir";
import { integer, integers } from "./attribute-values.js";
import { type Item, type ItemType, knownItem, maxKnownElements, numbersOf, typeOf, uniform, uniformOf, withMake } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";

const need = (list: number[] | undefined, what: string): number[] => {
  if (list === undefined || list.some((v) => !Number.isSafeInteger(v)))
    throw new Unconvertible(`its attribute ${what} is missing or not a list of integers`);
  return list;
};

/** The elements of a known array at other positions; undefined if an input changes the array, or if the result is too large. */
function rearranged(item: Item, type: ItemType, from: (index: number) => number): Item | undefined {
  const value = uniformOf(item);
  if (value !== undefined) return uniform(type, value);
  const data = numbersOf(item);
  const size = sizeOf(type.dims);
  if (data === undefined || size > maxKnownElements) return undefined;
  return knownItem(
    type,
    Float64Array.from({ length: size }, (_, i) => data[from(i)] ?? 0),
  );
}

/** The position in an operand with the given strides of element `flat` of an array of `dims`. */
function positionOf(dims: readonly number[], strides: readonly number[], flat: number): number {
  let [rest, position] = [flat, 0];
  for (let d = dims.length - 1; d >= 0; d--) {
    const size = dims[d] ?? 1;
    position += (rest % size) * (strides[d] ?? 0);
    rest = Math.floor(rest / size);
  }
  return position;
}

const broadcastInDim: Converter = (c) =>
  c.results(broadcastItem(c, c.arg(0), c.result(), need(integers(c.op, "broadcast_dimensions"), "broadcast_dimensions")));

/** The item as an array of `type`. `map` names the dim of the result for each dim of the item. */
export function broadcastItem(c: OpContext, x: Item, type: ItemType, map: readonly number[]): Item {
  const own = stridesOf(x.dims);
  const strides = type.dims.map((_, d) => (map.includes(d) && x.dims[map.indexOf(d)] !== 1 ? (own[map.indexOf(d)] ?? 0) : 0));
  const folded = rearranged(x, type, (i) => positionOf(type.dims, strides, i));
  const make = (): Value => broadcast(c, c.low.value(x), type.dims, map);
  return folded === undefined ? c.low.item(x.element, make()) : withMake(folded, make);
}

/** A broadcast along dims in any order. */
export function broadcast(c: OpContext, x: Value, dims: readonly number[], map: readonly number[]): Value {
  const order = map.map((_, i) => i).sort((a, b) => (map[a] ?? 0) - (map[b] ?? 0));
  if (map.length === dims.length && x.type.dims.every((d, i) => d === dims[map[i] ?? 0])) return c.b.transpose(x, order);
  return c.b.op("broadcast_in_dim", [c.b.transpose(x, order)], { dims, broadcastDimensions: order.map((i) => map[i] ?? 0) });
}

const reshape: Converter = (c) => {
  const [x, type] = [c.arg(0), c.result()];
  if (sizeOf(x.dims) !== sizeOf(type.dims))
    throw new Unconvertible(`it has ${sizeOf(x.dims)} elements, and its result ${sizeOf(type.dims)}`);
  const make = (): Value => c.b.reshape(c.value(0), type.dims);
  const folded = rearranged(x, type, (i) => i);
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

const transpose: Converter = (c) => {
  const [x, type] = [c.arg(0), c.result()];
  const permutation = need(integers(c.op, "permutation"), "permutation");
  const own = stridesOf(x.dims);
  const strides = permutation.map((p) => own[p] ?? 0);
  const make = (): Value => c.b.transpose(c.value(0), permutation);
  const folded = rearranged(x, type, (i) => positionOf(type.dims, strides, i));
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

const iota: Converter = (c) => {
  const type = c.result();
  const dimension = integer(c.op, "iota_dimension") ?? 0;
  const size = type.dims[dimension];
  if (size === undefined) throw new Unconvertible(`it has no dim ${dimension}`);
  if (sizeOf(type.dims) <= 4096 || type.element === "ui64") {
    if (sizeOf(type.dims) > maxKnownElements)
      throw new Unconvertible(`an iota of ${type.element} with ${sizeOf(type.dims)} elements is not supported`);
    const stride = stridesOf(type.dims)[dimension] ?? 1;
    return c.results(
      knownItem(
        type,
        Float64Array.from({ length: sizeOf(type.dims) }, (_, i) => Math.floor(i / stride) % size),
      ),
    );
  }
  const counted = c.b.iota(tensorType("i32", type.dims), dimension);
  return c.results(type.element === "f32" || type.element === "bf16" ? c.b.convert(counted, type.element) : counted);
};

const concatenate: Converter = (c) => {
  const type = c.result();
  const dimension = integer(c.op, "dimension") ?? 0;
  const values = new Set(c.args.map(uniformOf));
  const [only] = values;
  if (values.size === 1 && only !== undefined) return c.results(uniform(type, only));
  const make = (): Value => {
    const parts = c.args.filter(({ dims }) => (dims[dimension] ?? 0) > 0).map((item) => c.low.value(item));
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : c.b.concatenate(parts, dimension);
  };
  const folded = concatenateKnown(c, type, dimension);
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

function concatenateKnown(c: OpContext, type: ItemType, dimension: number): Item | undefined {
  if (c.args.some((item) => numbersOf(item) === undefined) || sizeOf(type.dims) > maxKnownElements) return undefined;
  const data = new Float64Array(sizeOf(type.dims));
  const strides = stridesOf(type.dims);
  let offset = 0;
  for (const item of c.args) {
    numbersOf(item)?.forEach((v, i) => {
      data[offset + positionOf(item.dims, strides, i)] = v;
    });
    offset += (item.dims[dimension] ?? 0) * (strides[dimension] ?? 1);
  }
  return knownItem(type, data);
}

const slice: Converter = (c) => {
  const [start, limit, strides] = ["start_indices", "limit_indices", "strides"].map((name) => integers(c.op, name));
  const from = need(start, "start_indices");
  return c.results(sliceItem(c, c.arg(0), from, need(limit, "limit_indices"), strides ?? from.map(() => 1)));
};

/** Elements `start` to `limit` of each dim, every `stride`-th. A piece of an array that a loop filled is the piece itself. */
export function sliceItem(c: OpContext, x: Item, start: readonly number[], limit: readonly number[], strides: readonly number[]): Item {
  const fits = x.dims.every(
    (size, d) => (start[d] ?? -1) >= 0 && (start[d] ?? 0) <= (limit[d] ?? -1) && (limit[d] ?? 0) <= size && (strides[d] ?? 0) >= 1,
  );
  if (!fits || start.length !== x.dims.length || limit.length !== x.dims.length)
    throw new Unconvertible("it slices outside of its operand");
  const dims = x.dims.map((_, d) => Math.ceil(((limit[d] ?? 0) - (start[d] ?? 0)) / (strides[d] ?? 1)));
  const type = { element: x.element, dims };
  if (dims.every((d, i) => d === x.dims[i])) return x;
  if (dims.includes(0)) return uniform(type, 0);
  const own = stridesOf(x.dims);
  const base = start.reduce((sum, s, d) => sum + s * (own[d] ?? 0), 0);
  const stepped = own.map((s, d) => s * (strides[d] ?? 1));
  const make = (): Value => stridedSlice(c, c.low.value(x), start, limit, strides);
  const folded = rearranged(x, type, (i) => base + positionOf(dims, stepped, i));
  if (folded !== undefined) return withMake(folded, make);
  if (x.kind === "segments" && strides.every((s) => s === 1)) {
    const within = (d: number): boolean => d === x.dimension || (start[d] === 0 && limit[d] === x.dims[d]);
    const [from, to] = [start[x.dimension] ?? 0, limit[x.dimension] ?? 0];
    const piece = x.segments.find((segment) => segment.start <= from && to <= segment.limit);
    if (piece !== undefined && x.dims.every((_, d) => within(d)))
      return sliceItem(
        c,
        piece.item,
        start.map((s, d) => (d === x.dimension ? s - piece.start : s)),
        limit.map((l, d) => (d === x.dimension ? l - piece.start : l)),
        strides,
      );
  }
  return c.low.item(x.element, make());
}

/** A slice with strides: the dim is padded to a multiple of the stride, split, and the first element of each group is taken. */
export function stridedSlice(
  c: OpContext,
  x: Value,
  start: readonly number[],
  limit: readonly number[],
  strides: readonly number[],
): Value {
  let y = isWhole(x.type.dims, start, limit) ? x : c.b.slice(x, start, limit);
  strides.forEach((stride, d) => {
    if (stride === 1) return;
    const groups = Math.ceil((y.type.dims[d] ?? 0) / stride);
    const missing = groups * stride - (y.type.dims[d] ?? 0);
    const none = y.type.dims.map(() => 0);
    if (missing > 0)
      y = c.b.pad(
        y,
        none,
        none.map((_, i) => (i === d ? missing : 0)),
      );
    const { dims } = y.type;
    const split = c.b.reshape(y, [...dims.slice(0, d), groups, stride, ...dims.slice(d + 1)]);
    const taken = c.b.slice(
      split,
      split.type.dims.map(() => 0),
      split.type.dims.map((size, i) => (i === d + 1 ? 1 : size)),
    );
    y = c.b.reshape(taken, [...dims.slice(0, d), groups, ...dims.slice(d + 1)]);
  });
  return y;
}

const isWhole = (dims: readonly number[], start: readonly number[], limit: readonly number[]): boolean =>
  dims.every((size, d) => start[d] === 0 && limit[d] === size);

const pad: Converter = (c) => {
  const [x, filler] = [c.arg(0), uniformOf(c.arg(1))];
  const [low, high, interior] = ["edge_padding_low", "edge_padding_high", "interior_padding"].map((name) =>
    need(integers(c.op, name), name),
  );
  if (filler === undefined) return c.results(padComputed(c, low ?? [], high ?? [], interior ?? []));
  if (uniformOf(x) === filler) return c.results(uniform(c.result(), filler));
  return c.results(padValue(c, c.low.value(x), low ?? [], high ?? [], interior ?? [], filler));
};

/** Pads with a value that the program computes: with zeros, and the value where a padded array of ones has a zero. */
function padComputed(c: OpContext, low: readonly number[], high: readonly number[], interior: readonly number[]): Value {
  const [x, filler] = [c.value(0), c.value(1)];
  if (x.type.dtype === "pred") throw new Unconvertible("a padding value that is computed is not supported for truth values");
  const padded = padValue(c, x, low, high, interior, 0);
  const inside = padValue(c, c.b.splat(1, tensorType("f32", x.type.dims)), low, high, interior, 0);
  return c.b.select(c.b.compare(inside, c.b.splat(0, inside.type), "NE"), padded, c.b.broadcastInDim(filler, padded.type.dims, []));
}

/** Pads with a number. Counts below zero remove elements. */
export function padValue(
  c: OpContext,
  x: Value,
  low: readonly number[],
  high: readonly number[],
  interior: readonly number[],
  filler: number,
): Value {
  let y = x;
  const fill = (dims: readonly number[]): Value => c.b.splat(filler, tensorType(x.type.dtype, dims));
  interior.forEach((count, d) => {
    const { dims } = y.type;
    const size = dims[d] ?? 0;
    if (count <= 0 || size === 0) return;
    const column = c.b.reshape(y, [...dims.slice(0, d), size, 1, ...dims.slice(d + 1)]);
    const wide = c.b.concatenate([column, fill(column.type.dims.map((n, i) => (i === d + 1 ? count : n)))], d + 1);
    const flat = c.b.reshape(wide, [...dims.slice(0, d), size * (count + 1), ...dims.slice(d + 1)]);
    y = c.b.slice(
      flat,
      flat.type.dims.map(() => 0),
      flat.type.dims.map((n, i) => (i === d ? n - count : n)),
    );
  });
  const start = y.type.dims.map((_, d) => Math.max(0, -(low[d] ?? 0)));
  const limit = y.type.dims.map((size, d) => size - Math.max(0, -(high[d] ?? 0)));
  if (!isWhole(y.type.dims, start, limit)) y = c.b.slice(y, start, limit);
  const before = low.map((n) => Math.max(0, n));
  const after = high.map((n) => Math.max(0, n));
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return y;
  if (filler === 0) return c.b.pad(y, before, after);
  before.forEach((count, d) => {
    const edge = (n: number): Value[] => (n === 0 ? [] : [fill(y.type.dims.map((size, i) => (i === d ? n : size)))]);
    const parts = [...edge(count), y, ...edge(after[d] ?? 0)];
    if (parts.length > 1) y = c.b.concatenate(parts, d);
  });
  return y;
}

/** At most so many slices replace a `reverse`. A longer dim is gathered in reverse order. */
const maxReversed = 64;

const reverse: Converter = (c) => {
  const [x, type] = [c.arg(0), c.result()];
  const dims = need(integers(c.op, "dimensions"), "dimensions");
  const own = stridesOf(x.dims);
  const last = dims.reduce((sum, d) => sum + ((x.dims[d] ?? 1) - 1) * (own[d] ?? 0), 0);
  const folded = rearranged(
    x,
    type,
    (i) =>
      last +
      positionOf(
        type.dims,
        own.map((s, d) => (dims.includes(d) ? -s : s)),
        i,
      ),
  );
  if (folded !== undefined) return c.results(folded);
  return c.results(dims.reduce((y, d) => reversed(c, y, d), c.value(0)));
};

/** The elements along one dim from the last to the first. */
export function reversed(c: OpContext, x: Value, d: number): Value {
  const size = x.type.dims[d] ?? 0;
  if (size < 2) return x;
  if (size > maxReversed) return gatherReversed(c, x, d);
  const pieces = Array.from({ length: size }, (_, i) => {
    const at = size - 1 - i;
    return c.b.slice(
      x,
      x.type.dims.map((_n, k) => (k === d ? at : 0)),
      x.type.dims.map((n, k) => (k === d ? at + 1 : n)),
    );
  });
  return c.b.concatenate(pieces, d);
}

function gatherReversed(c: OpContext, x: Value, d: number): Value {
  const size = x.type.dims[d] ?? 0;
  const order = [d, ...x.type.dims.map((_, i) => i).filter((i) => i !== d)];
  const ids = c.b.offset(c.b.negate(c.b.iota(tensorType("i32", [size]), 0)), size - 1);
  const reversed = c.b.gather(c.b.transpose(x, order), ids);
  return c.b.transpose(
    reversed,
    order.map((_, i) => order.indexOf(i)),
  );
}

const dynamicSlice: Converter = (c) => {
  const x = c.arg(0);
  const sizes = need(integers(c.op, "slice_sizes"), "slice_sizes");
  return c.results(dynamicSliceItem(c, x, sizes, c.args.slice(1)));
};

/** A slice whose starts may be computed. Starts are clamped so that the slice is inside the operand. */
export function dynamicSliceItem(c: OpContext, x: Item, sizes: readonly number[], starts: readonly Item[]): Item {
  const known = x.dims.map((size, d) => clampedStart(starts[d], size - (sizes[d] ?? 0)));
  let y = sliceItem(
    c,
    x,
    known.map((s) => s ?? 0),
    known.map((s, d) => (s === undefined ? (x.dims[d] ?? 0) : s + (sizes[d] ?? 0))),
    known.map(() => 1),
  );
  known.forEach((start, d) => {
    if (start === undefined) y = c.low.item(x.element, c.b.dynamicSlice(c.low.value(y), startValue(c, starts[d]), d, sizes[d] ?? 0));
  });
  return y;
}

const clampedStart = (start: Item | undefined, most: number): number | undefined => {
  if (most === 0) return 0;
  const value = start === undefined ? undefined : uniformOf(start);
  return value === undefined ? undefined : Math.min(Math.max(0, value), most);
};

const startValue = (c: OpContext, start: Item | undefined): Value => {
  if (start === undefined) throw new Unconvertible("a start is missing");
  return c.b.convert(c.b.reshape(c.low.value(start), []), "i32");
};

const dynamicUpdateSlice: Converter = (c) => c.results(updateItem(c, c.arg(0), c.arg(1), c.args.slice(2)));

/** `x` with `update` from `starts`. An array that a loop fills piece by piece becomes one concatenation of the pieces. */
export function updateItem(c: OpContext, x: Item, update: Item, starts: readonly Item[]): Item {
  const partial = x.dims.flatMap((size, d) => ((update.dims[d] ?? 0) < size ? [d] : []));
  const [d] = partial;
  if (d === undefined) return update;
  const size = update.dims[d] ?? 0;
  const start = clampedStart(starts[d], (x.dims[d] ?? 0) - size);
  const rest = starts.map((item, i) => (i === d ? uniform(typeOf(item), 0) : item));
  if (start !== undefined) {
    const from = x.dims.map((_, i) => (i === d ? start : 0));
    const to = x.dims.map((n, i) => (i === d ? start + size : n));
    const inner =
      partial.length === 1
        ? update
        : updateItem(
            c,
            sliceItem(
              c,
              x,
              from,
              to,
              x.dims.map(() => 1),
            ),
            update,
            rest,
          );
    return replaceSegment(c, x, d, start, start + size, inner);
  }
  const at = startValue(c, starts[d]);
  const inner =
    partial.length === 1 ? update : updateItem(c, c.low.item(x.element, c.b.dynamicSlice(c.low.value(x), at, d, size)), update, rest);
  return c.low.item(x.element, c.b.dynamicUpdateSlice(c.low.value(x), c.low.value(inner), at, d));
}

function replaceSegment(c: OpContext, x: Item, dimension: number, start: number, limit: number, item: Item): Item {
  const whole = x.kind === "segments" && x.dimension === dimension ? x.segments : [{ start: 0, limit: x.dims[dimension] ?? 0, item: x }];
  const part = (segment: (typeof whole)[number], from: number, to: number): (typeof whole)[number] => ({
    start: from,
    limit: to,
    item: sliceItem(
      c,
      segment.item,
      segment.item.dims.map((_, d) => (d === dimension ? from - segment.start : 0)),
      segment.item.dims.map((n, d) => (d === dimension ? to - segment.start : n)),
      segment.item.dims.map(() => 1),
    ),
  });
  const before = whole.flatMap((s) => (s.start < start ? [part(s, s.start, Math.min(s.limit, start))] : []));
  const after = whole.flatMap((s) => (s.limit > limit ? [part(s, Math.max(s.start, limit), s.limit)] : []));
  return { ...typeOf(x), kind: "segments", dimension, segments: [...before, { start, limit, item }, ...after] };
}

export const shapeConverters: Readonly<Record<string, Converter>> = {
  broadcast_in_dim: broadcastInDim,
  reshape,
  transpose,
  iota,
  concatenate,
  slice,
  pad,
  reverse,
  dynamic_slice: dynamicSlice,
  dynamic_update_slice: dynamicUpdateSlice,
};
