import type { Attribute, Block, Operation, Type } from "../text/syntax.js";
import { bodyOf, dimensionLists, integer, integers } from "./attribute-values.js";
import { elementwiseConverters } from "./elementwise.js";
import { type Item, knownItem, uniform } from "./item.js";
import { type Lowering, Unconvertible } from "./lowering.js";
import type { Lead } from "./region.js";

/** The item without its mark. Its dims then begin with the leading dims. */
export function physical(item: Item): Item {
  if (item.lead === undefined) return item;
  const { lead: _, ...rest } = item;
  return rest;
}

export const leadOf = (item: Item): readonly Lead[] => item.lead ?? [];

/** The item with leading dims. Known numbers that do not differ along an axis lose the dim of that axis. */
export function withLead(item: Item, lead: readonly Lead[]): Item {
  if (lead.length === 0) return item;
  if (item.kind !== "known") return { ...item, lead };
  const dims = item.dims.slice(lead.length);
  if (item.known.kind === "uniform") return uniform({ element: item.element, dims }, item.known.value);
  let { data } = item.known;
  const kept: Lead[] = [];
  let outer = 1;
  for (const [i, each] of lead.entries()) {
    const inner = data.length / (outer * each.size);
    const from = data;
    const isSame = from.every((v, at) => Object.is(v, from[Math.floor(at / (each.size * inner)) * each.size * inner + (at % inner)]));
    if (isSame) data = from.filter((_, at) => Math.floor(at / inner) % each.size === 0);
    else {
      kept.push(ensureLead(lead, i));
      outer *= each.size;
    }
  }
  const known = knownItem({ element: item.element, dims: [...kept.map(({ size }) => size), ...dims] }, data);
  return kept.length === 0 ? known : { ...known, lead: kept };
}

function ensureLead(lead: readonly Lead[], i: number): Lead {
  const found = lead[i];
  if (found === undefined) throw new Error("invariant broken: a leading dim has an axis");
  return found;
}

/** The axes along which some of the items differ, in the order of the region. */
export const jointLead = (axes: readonly Lead[], items: readonly Item[]): readonly Lead[] =>
  axes.filter(({ axis }) => items.some((item) => leadOf(item).some((each) => each.axis === axis)));

/** The item with all leading dims of `lead`, without its mark: repeated along those that it does not have. */
export function spread(low: Lowering, item: Item, lead: readonly Lead[]): Item {
  const own = leadOf(item);
  const dims = item.dims.slice(own.length);
  const sizes = lead.map(({ size }) => size);
  const all = [...sizes, ...dims];
  if (item.kind === "known" && item.known.kind === "uniform") return uniform({ element: item.element, dims: all }, item.known.value);
  if (own.length === lead.length) return physical(item);
  const value = low.value(physical(item));
  const at = [...own.map(({ axis }) => lead.findIndex((each) => each.axis === axis)), ...dims.map((_, d) => lead.length + d)];
  return low.item(item.element, low.b.broadcastInDim(value, all, at));
}

/** Operands that are scalars for all chips: starting values, indices, padding. By operation, the index of the first. */
function sharedFrom(op: Operation, count: number): number {
  switch (op.name) {
    case "stablehlo.reduce":
      return count / 2;
    case "stablehlo.dynamic_slice":
      return 1;
    case "stablehlo.dynamic_update_slice":
      return 2;
    case "stablehlo.pad":
    case "stablehlo.reduce_window":
      return count / 2;
    default:
      return count;
  }
}

/** The operands of an operation with the leading dims, and the operation on them. */
export function batched(
  low: Lowering,
  op: Operation,
  args: readonly Item[],
  lead: readonly Lead[],
): { readonly op: Operation; readonly args: readonly Item[] } {
  const shared = sharedFrom(op, args.length);
  const sizes = lead.map(({ size }) => size);
  if (/\.dynamic_(?:update_)?slice$/.test(op.name) && args.slice(shared).some((item) => item.lead !== undefined))
    return sliceByIndices(low, op, args, lead);
  if (args.slice(shared).some((item) => item.lead !== undefined))
    throw new Unconvertible("its indices or starting values differ from chip to chip of a shard_map region");
  const changed = attributesOf(op, lead.length, sizes, args);
  if (changed === undefined)
    throw new Unconvertible("the operation is not supported in a shard_map region, on values that differ from chip to chip");
  const wide = args.slice(0, shared).map((item) => spread(low, item, lead));
  const rank = resultRank(op);
  const ranked = /\.(?:select|clamp)$/.test(op.name) ? wide.map((item) => asRank(low, item, lead, rank, op)) : wide;
  const starts = op.name.startsWith("stablehlo.dynamic_") ? zeros(args[shared]?.element ?? "i32", lead.length) : [];
  return {
    op: { ...op, attributes: new Map([...op.attributes, ...changed]), resultTypes: op.resultTypes.map((type) => prefixed(type, sizes)) },
    args: [...ranked, ...starts, ...args.slice(shared)],
  };
}

/** A slice whose start differs from chip to chip: a gather or scatter of one window for each chip. */
function sliceByIndices(
  low: Lowering,
  op: Operation,
  args: readonly Item[],
  lead: readonly Lead[],
): { readonly op: Operation; readonly args: readonly Item[] } {
  const k = lead.length;
  const sizes = lead.map(({ size }) => size);
  const isUpdate = op.name === "stablehlo.dynamic_update_slice";
  const [x, update] = args.slice(0, isUpdate ? 2 : 1).map((item) => spread(low, item, lead));
  if (x === undefined) throw new Unconvertible("it has no operand");
  const window = isUpdate ? (update?.dims.slice(k) ?? []) : (integers(op, "slice_sizes") ?? []);
  // Starts are clamped so that the part is inside of the operand. A gather does so itself.
  const starts = args.slice(isUpdate ? 2 : 1).map((item, d) => {
    const start = low.b.convert(low.value(spread(low, item, lead)), "i32");
    const most = (x.dims[k + d] ?? 0) - (window[d] ?? 0);
    const inside = low.b.minimum(low.b.maximum(start, low.b.splat(0, start.type)), low.b.splat(most, start.type));
    return low.b.reshape(inside, [...sizes, 1]);
  });
  const indices = low.item("i32", starts.length === 1 && starts[0] !== undefined ? starts[0] : low.b.concatenate(starts, k));
  const all = window.map((_, d) => k + d);
  const first = sizes.map((_, i) => i);
  const text = (key: string, dims: readonly number[]): string => `${key} = [${dims.join(", ")}]`;
  const prefix = op.resultTypes.map((type) => prefixed(type, sizes));
  if (!isUpdate) {
    const body = [
      text("offset_dims", all),
      text("operand_batching_dims", first),
      text("start_indices_batching_dims", first),
      text("start_index_map", all),
      `index_vector_dim = ${k}`,
    ].join(", ");
    const attributes = new Map<string, Attribute>([
      ["dimension_numbers", { kind: "dialect", name: "stablehlo.gather", body }],
      ["slice_sizes", list([...sizes.map(() => 1), ...window])],
    ]);
    return { op: { ...op, name: "stablehlo.gather", attributes, resultTypes: prefix }, args: [x, indices] };
  }
  if (update === undefined) throw new Unconvertible("it has no update");
  const body = [
    text("update_window_dims", all),
    text("input_batching_dims", first),
    text("scatter_indices_batching_dims", first),
    text("scatter_dims_to_operand_dims", all),
    `index_vector_dim = ${k}`,
  ].join(", ");
  const attributes = new Map<string, Attribute>([
    ["scatter_dimension_numbers", { kind: "dialect", name: "stablehlo.scatter", body }],
    ["unique_indices", { kind: "bool", value: true }],
  ]);
  const regions = [{ blocks: [replacement(op, x.element)] }];
  return { op: { ...op, name: "stablehlo.scatter", attributes, regions, resultTypes: prefix }, args: [x, indices, update] };
}

/** The body of a scatter that replaces elements. */
function replacement(op: Operation, element: string): Block {
  const type: Type = { kind: "tensor", element, dims: [] };
  const use = { name: "new", index: 0 };
  const names = ["old", "new"].map((name) => ({ name, type }));
  return {
    arguments: names,
    operations: [{ ...op, name: "stablehlo.return", operands: [use], results: [], resultTypes: [], regions: [] }],
  };
}

const zeros = (element: string, count: number): Item[] => Array.from({ length: count }, () => uniform({ element, dims: [] }, 0));

const resultRank = ({ resultTypes: [type] }: Operation): number => (type?.kind === "tensor" ? type.dims.length : 0);

/** A scalar of each chip, as an array of the rank of the result. */
function asRank(low: Lowering, item: Item, lead: readonly Lead[], rank: number, { resultTypes: [type] }: Operation): Item {
  if (item.dims.length !== lead.length || rank === 0 || type?.kind !== "tensor") return item;
  const dims = [...item.dims, ...type.dims.map((d) => d ?? 1)];
  if (item.kind === "known" && item.known.kind === "uniform") return uniform({ element: item.element, dims }, item.known.value);
  return low.item(
    item.element,
    low.b.broadcastInDim(
      low.value(item),
      dims,
      lead.map((_, i) => i),
    ),
  );
}

const prefixed = (type: Type, sizes: readonly number[]): Type =>
  type.kind === "tensor" ? { ...type, dims: [...sizes, ...type.dims] } : type;

const list = (items: readonly number[]): Attribute => ({ kind: "denseArray", element: "i64", items: items.map(String) });
const word = (value: number): Attribute => ({ kind: "number", text: String(value) });

/** Attributes that the leading dims change; undefined for operations without a rule. */
function attributesOf(
  op: Operation,
  k: number,
  sizes: readonly number[],
  args: readonly Item[],
): readonly (readonly [string, Attribute])[] | undefined {
  const name = op.name.replace(/^(?:stablehlo|chlo)\./, "");
  const first = Array.from({ length: k }, (_, i) => i);
  const shifted = (key: string): readonly [string, Attribute] => [key, list((integers(op, key) ?? []).map((d) => d + k))];
  const leading = (key: string): readonly [string, Attribute] => [key, list([...first, ...(integers(op, key) ?? []).map((d) => d + k)])];
  const filled = (key: string, values: readonly number[]): readonly [string, Attribute] => [
    key,
    list([...values, ...(integers(op, key) ?? [])]),
  ];
  if (Object.hasOwn(elementwiseConverters, name)) return [];
  switch (name) {
    case "reshape":
      return [];
    case "broadcast_in_dim":
      return [leading("broadcast_dimensions")];
    case "transpose":
      return [leading("permutation")];
    case "reduce":
    case "reverse":
      return [shifted("dimensions")];
    case "reduce_window": {
      const [none, ones] = [sizes.map(() => 0), sizes.map(() => 1)];
      const present = ["window_dimensions", "window_strides", "base_dilations", "window_dilations"].filter((key) => op.attributes.has(key));
      const padding = op.attributes.has("padding") ? [filled("padding", [...none, ...none])] : [];
      return [...present.map((key) => filled(key, ones)), ...padding];
    }
    case "gather":
      return [
        ["dimension_numbers", gatherNumbers(op, k)],
        filled(
          "slice_sizes",
          sizes.map(() => 1),
        ),
      ];
    case "scatter":
      return [["scatter_dimension_numbers", scatterNumbers(op, k)]];
    case "sort":
    case "concatenate":
      return [["dimension", word((integer(op, "dimension") ?? 0) + k)]];
    case "slice":
      return [
        filled(
          "start_indices",
          sizes.map(() => 0),
        ),
        filled("limit_indices", sizes),
        filled(
          "strides",
          sizes.map(() => 1),
        ),
      ];
    case "dynamic_slice":
      return [filled("slice_sizes", sizes)];
    case "dynamic_update_slice":
      return [];
    case "pad": {
      const none = sizes.map(() => 0);
      return [filled("edge_padding_low", none), filled("edge_padding_high", none), filled("interior_padding", none)];
    }
    case "dot_general":
      return [["dot_dimension_numbers", dotNumbers(op, k)]];
    case "top_k":
      return [];
    default:
      return args.length === 0 ? [] : undefined;
  }
}

/** Leading dims are batching dims of operand and indices. */
function gatherNumbers(op: Operation, k: number): Attribute {
  const { list: of, number } = dimensionLists(bodyOf(op.attributes.get("dimension_numbers")));
  const { text, batching } = numbersWith(of, k);
  const body = [
    text("offset_dims"),
    text("collapsed_slice_dims"),
    batching("operand_batching_dims"),
    batching("start_indices_batching_dims"),
    text("start_index_map"),
    `index_vector_dim = ${(number("index_vector_dim") ?? 0) + k}`,
  ].join(", ");
  return { kind: "dialect", name: "stablehlo.gather", body };
}

function scatterNumbers(op: Operation, k: number): Attribute {
  const { list: of, number } = dimensionLists(bodyOf(op.attributes.get("scatter_dimension_numbers")));
  const { text, batching } = numbersWith(of, k);
  const body = [
    text("update_window_dims"),
    text("inserted_window_dims"),
    batching("input_batching_dims"),
    batching("scatter_indices_batching_dims"),
    text("scatter_dims_to_operand_dims"),
    `index_vector_dim = ${(number("index_vector_dim") ?? 0) + k}`,
  ].join(", ");
  return { kind: "dialect", name: "stablehlo.scatter", body };
}

/** Lists of dims after `k` leading dims, as text: with these dims, or without. */
function numbersWith(of: (key: string) => number[], k: number): { text: (key: string) => string; batching: (key: string) => string } {
  const first = Array.from({ length: k }, (_, i) => i);
  const shifted = (key: string): number[] => of(key).map((d) => d + k);
  return {
    text: (key) => `${key} = [${shifted(key).join(", ")}]`,
    batching: (key) => `${key} = [${[...first, ...shifted(key)].join(", ")}]`,
  };
}

function dotNumbers(op: Operation, k: number): Attribute {
  const numbers = dimensionLists(bodyOf(op.attributes.get("dot_dimension_numbers")));
  const first = Array.from({ length: k }, (_, i) => i);
  const text = (key: string, leading: readonly number[]): string =>
    `${key} = [${[...leading, ...numbers.list(key).map((d) => d + k)].join(", ")}]`;
  const body = [
    text("lhs_batching_dimensions", first),
    text("rhs_batching_dimensions", first),
    text("lhs_contracting_dimensions", []),
    text("rhs_contracting_dimensions", []),
  ].join(", ");
  return { kind: "dialect", name: "stablehlo.dot", body };
}
