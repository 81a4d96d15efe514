import { sizeOf, type Value } from "@lapidary/ir";
import type { Attribute, Operation } from "../text/syntax.js";
import { bodyOf, integer, integers, stringOf } from "./attribute-values.js";
import { batched, jointLead, leadOf, physical, spread, withLead } from "./batching.js";
import { type Item, knownItem, maxKnownElements, numbersOf } from "./item.js";
import { type Lowering, Unconvertible } from "./lowering.js";
import type { Lead, ManualRegion } from "./region.js";
import { type MeshAxis, shardingOf, type TextSharding } from "./sharding.js";

/** `[<@mesh, [{"x"}]>, <@mesh, []>]`, one sharding for each value. */
function shardingsOf(attribute: Attribute | undefined): readonly TextSharding[] {
  const body = bodyOf(attribute).replace(/^\[|\]$/g, "");
  return body
    .split(/>\s*,\s*</)
    .map((text) => text.trim().replace(/^<|>$/g, ""))
    .filter((text) => text !== "")
    .map((text) => {
      const sharding = shardingOf({ kind: "dialect", name: "sdy.sharding", body: text });
      if (sharding === undefined) throw new Unconvertible("a sharding of the region is not readable");
      return sharding;
    });
}

/** The region of a `sdy.manual_computation`: its axes, and the shardings of its operands and results. */
export function regionOf(
  op: Operation,
  mesh: readonly MeshAxis[],
): { region: ManualRegion; ins: readonly TextSharding[]; outs: readonly TextSharding[] } {
  const names = new Set([...bodyOf(op.attributes.get("manual_axes")).matchAll(/"([^"]*)"/g)].map(([, name = ""]) => name));
  const axes = mesh.filter(({ name }) => names.has(name)).map(({ name, size }) => ({ axis: name, size }));
  if (axes.length !== names.size) throw new Unconvertible("it names an axis that the mesh does not have");
  return {
    region: { axes, mesh },
    ins: shardingsOf(op.attributes.get("in_shardings")),
    outs: shardingsOf(op.attributes.get("out_shardings")),
  };
}

/** The manual axes of each dim. Free axes follow them. */
const manualOf = ({ axes }: ManualRegion, { dims }: TextSharding): Lead[][] =>
  dims.map((dim) => dim.axes.flatMap((name) => axes.find(({ axis }) => axis === name) ?? refuseSubAxis(axes, name)));

function refuseSubAxis(axes: readonly Lead[], name: string): [] {
  if (axes.some(({ axis }) => name.startsWith(`${axis}:`)))
    throw new Unconvertible(`the sub-axis ${name} in a shard_map region is not supported`);
  return [];
}

/** The sharding of a value with leading dims: each over its axis. The compiler chooses the others. */
const leadSharding = (lead: readonly Lead[], rank: number): TextSharding => ({
  mesh: "",
  dims: [...lead.map(({ axis }) => ({ axes: [axis], open: false })), ...Array.from({ length: rank }, () => ({ axes: [], open: true }))],
});

const constrained = (low: Lowering, value: Value, lead: readonly Lead[]): Value =>
  low.constraints.constrain(value, leadSharding(lead, value.type.dims.length - lead.length));

const product = (lead: readonly Lead[]): number => lead.reduce((size, each) => size * each.size, 1);

/** An array as the chips of the region see it: each dim that manual axes split gives one leading dim for each of them. */
export function enter(low: Lowering, item: Item, sharding: TextSharding, region: ManualRegion): Item {
  const split = manualOf(region, sharding);
  const used = region.axes.filter(({ axis }) => split.flat().some((each) => each.axis === axis));
  if (used.length === 0) return item;
  const known = knownNumbers(item);
  if (known !== undefined) return enterKnown(item, known, split, used);
  const value = low.value(item);
  const parts = item.dims.flatMap((size, d) => {
    const over = split[d] ?? [];
    return [...over.map((each) => each.size), size / product(over)];
  });
  if (!parts.every(Number.isInteger)) throw new Unconvertible("an axis does not divide an operand of the region");
  const order = positionsOf(split);
  const permutation = [...used.map(({ axis }) => order.axes.get(axis) ?? 0), ...order.rest];
  const moved = low.b.transpose(low.b.reshape(value, parts), permutation);
  return { ...low.item(item.element, constrained(low, moved, used)), lead: used };
}

/** A value of the region as one array. Along an axis that its sharding does not name, all chips have the same. */
export function leave(low: Lowering, item: Item, sharding: TextSharding, region: ManualRegion): Item {
  const split = manualOf(region, sharding);
  const used = region.axes.filter(({ axis }) => split.flat().some((each) => each.axis === axis));
  if (used.length === 0 && item.lead === undefined) return item;
  const own = leadOf(item);
  const known = knownNumbers(item);
  if (known !== undefined) return leaveKnown(item, known, split);
  const surplus = own.filter(({ axis }) => !used.some((each) => each.axis === axis));
  const one = surplus.reduce<Item>((from, each) => withoutAxis(low, from, each, (value, d) => firstOf(low, value, d)), item);
  const whole = low.value(spread(low, one, used));
  const order = positionsOf(split);
  const rank = used.length + split.length;
  const back = Array<number>(rank).fill(0);
  used.forEach(({ axis }, i) => (back[order.axes.get(axis) ?? 0] = i));
  order.rest.forEach((at, d) => (back[at] = used.length + d));
  const dims = split.map((over, d) => product(over) * (whole.type.dims[used.length + d] ?? 1));
  const joined = low.b.reshape(low.b.transpose(whole, back), dims);
  return low.item(item.element, low.constraints.constrain(joined, sharding));
}

/** The numbers of a known value, also of one that a loop filled piece by piece. */
function knownNumbers(item: Item): Float64Array | undefined {
  if (item.kind !== "segments") return numbersOf(item);
  const { dims, dimension, segments } = item;
  if (sizeOf(dims) > maxKnownElements) return undefined;
  const data = new Float64Array(sizeOf(dims));
  for (const { start, item: part } of segments) {
    const numbers = knownNumbers(part);
    if (numbers === undefined) return undefined;
    numbers.forEach((value, flat) => {
      const at = indexOf(flat, part.dims).map((i, d) => (d === dimension ? start + i : i));
      data[flatOf(dims, at)] = value;
    });
  }
  return data;
}

/** As `enter`, for numbers that no input changes. If all chips have the same, the result has no leading dims. */
function enterKnown({ element, dims }: Item, data: Float64Array, split: readonly (readonly Lead[])[], used: readonly Lead[]): Item {
  const local = dims.map((size, d) => size / product(split[d] ?? []));
  const all = [...used.map(({ size }) => size), ...local];
  const numbers = Float64Array.from({ length: sizeOf(all) }, (_, flat) => {
    const at = indexOf(flat, all);
    const chip = new Map(used.map(({ axis }, i) => [axis, at[i] ?? 0]));
    return data[flatOf(dims, globalIndex(at.slice(used.length), local, split, chip))] ?? 0;
  });
  return withLead(knownItem({ element, dims: all }, numbers), used);
}

/** As `leave`, for numbers that no input changes. */
function leaveKnown(item: Item, data: Float64Array, split: readonly (readonly Lead[])[]): Item {
  const own = leadOf(item);
  const local = item.dims.slice(own.length);
  const dims = local.map((size, d) => size * product(split[d] ?? []));
  const numbers = Float64Array.from({ length: sizeOf(dims) }, (_, flat) => {
    const chip = new Map<string, number>();
    const inner = indexOf(flat, dims).map((at, d) => {
      let outer = Math.floor(at / (local[d] ?? 1));
      for (const { axis, size } of [...(split[d] ?? [])].reverse()) {
        chip.set(axis, outer % size);
        outer = Math.floor(outer / size);
      }
      return at % (local[d] ?? 1);
    });
    return data[flatOf(item.dims, [...own.map(({ axis }) => chip.get(axis) ?? 0), ...inner])] ?? 0;
  });
  return knownItem({ element: item.element, dims }, numbers);
}

/** The index in the whole array of an index on a chip. */
const globalIndex = (
  at: readonly number[],
  local: readonly number[],
  split: readonly (readonly Lead[])[],
  chip: ReadonlyMap<string, number>,
): number[] =>
  at.map(
    (inner, d) => (split[d] ?? []).reduce((block, { axis, size }) => block * size + (chip.get(axis) ?? 0), 0) * (local[d] ?? 1) + inner,
  );

function indexOf(flat: number, dims: readonly number[]): number[] {
  let rest = flat;
  return [...dims]
    .reverse()
    .map((size) => {
      const at = rest % size;
      rest = Math.floor(rest / size);
      return at;
    })
    .reverse();
}

const flatOf = (dims: readonly number[], index: readonly number[]): number =>
  dims.reduce((flat, size, d) => flat * size + (index[d] ?? 0), 0);

/** Where a reshaped array has the dim of each axis, and the rest of each dim. */
function positionsOf(split: readonly (readonly Lead[])[]): { axes: ReadonlyMap<string, number>; rest: readonly number[] } {
  const axes = new Map<string, number>();
  const rest: number[] = [];
  let at = 0;
  for (const over of split) {
    for (const { axis } of over) axes.set(axis, at++);
    rest.push(at++);
  }
  return { axes, rest };
}

const firstOf = (low: Lowering, value: Value, d: number): Value => {
  const limits = value.type.dims.map((size, i) => (i === d ? 1 : size));
  const sliced = low.b.slice(
    value,
    value.type.dims.map(() => 0),
    limits,
  );
  return low.b.reshape(
    sliced,
    value.type.dims.filter((_, i) => i !== d),
  );
};

/** Removes the leading dim of an axis. */
function withoutAxis(low: Lowering, item: Item, { axis }: Lead, remove: (value: Value, d: number) => Value): Item {
  const lead = leadOf(item);
  const at = lead.findIndex((each) => each.axis === axis);
  if (at < 0) return item;
  return marked(
    low.item(item.element, remove(low.value(physical(item)), at)),
    lead.filter((_, i) => i !== at),
  );
}

const marked = (item: Item, lead: readonly Lead[]): Item => (lead.length === 0 ? item : { ...item, lead });

/** Converts an operation of the region. `convert` converts one that has no axes. */
export function convertInRegion(
  low: Lowering,
  region: ManualRegion,
  op: Operation,
  args: readonly Item[],
  convert: (op: Operation, args: readonly Item[]) => readonly Item[],
): readonly Item[] {
  switch (op.name) {
    case "stablehlo.partition_id":
      return [chipNumbers(region)];
    case "stablehlo.all_reduce":
      return args.map((item) => allReduce(low, item, axesOfGroups(op, region), combinerOf(op)));
    case "stablehlo.all_gather":
      return args.map((item) => allGather(low, item, axesOfGroups(op, region), integer(op, "all_gather_dim") ?? 0, region));
    case "stablehlo.reduce_scatter":
      return args.map((item) =>
        reduceScatter(low, item, axesOfGroups(op, region), combinerOf(op), integer(op, "scatter_dimension") ?? 0, region),
      );
    case "stablehlo.all_to_all":
      return args.map((item) =>
        allToAll(low, item, axesOfGroups(op, region), [integer(op, "split_dimension") ?? 0, integer(op, "concat_dimension") ?? 0], region),
      );
    case "stablehlo.collective_permute":
      return args.map((item) => permute(low, item, op, region));
    case "stablehlo.dynamic_slice": {
      const own = sliceOfEachChip(low, region, op, args);
      return own === undefined ? convertBatched(low, region, op, args, convert) : [own];
    }
    case "stablehlo.custom_call":
      // `@Sharding` states that a value is manual, or the sharding of a value before it enters the region.
      return stringOf(op.attributes.get("call_target_name")) === "Sharding" && low.devices.isManual(op.attributes)
        ? args
        : convertBatched(low, region, op, args, convert);
    case "stablehlo.convolution":
      return convolve(low, region, op, args, convert);
    case "sdy.sharding_constraint":
      // It names axes that the region does not have: a request for each chip's part, which the compiler does not need.
      return args;
    default:
      return convertBatched(low, region, op, args, convert);
  }
}

function convertBatched(
  low: Lowering,
  { axes }: ManualRegion,
  op: Operation,
  args: readonly Item[],
  convert: (op: Operation, args: readonly Item[]) => readonly Item[],
): readonly Item[] {
  const lead = jointLead(axes, args);
  if (lead.length === 0) return convert(op, args);
  const wide = batched(low, op, args, lead);
  return convert(wide.op, wide.args).map((item) => withLead(item, lead));
}

/**
 * A convolution of each chip: one with a group of features for each chip. Its leading dims are the major part of the dims of input and output features.
 */
function convolve(
  low: Lowering,
  { axes }: ManualRegion,
  op: Operation,
  args: readonly Item[],
  convert: (op: Operation, args: readonly Item[]) => readonly Item[],
): readonly Item[] {
  const lead = jointLead(axes, args);
  if (lead.length === 0) return convert(op, args);
  const layout = /\[(.*?)\]x\[(.*?)\]->\[(.*?)\]/s.exec(bodyOf(op.attributes.get("dimension_numbers")).replace(/\s/g, ""));
  const positions = [layout?.[1]?.split(",").indexOf("f"), layout?.[2]?.split(",").indexOf("o"), layout?.[3]?.split(",").indexOf("f")];
  const [input, kernel, output] = positions;
  const [type] = op.resultTypes;
  if (input === undefined || kernel === undefined || output === undefined || type?.kind !== "tensor")
    throw new Unconvertible("its dimension numbers are not readable");
  if ((integer(op, "batch_group_count") ?? 1) > 1) throw new Unconvertible("groups of its batch are not supported in a shard_map region");
  const count = product(lead);
  const k = lead.length;
  const sizes = lead.map(({ size }) => size);
  const joined = args.map((item, i) => {
    const value = low.value(spread(low, item, lead));
    const rank = value.type.dims.length - k;
    const at = (i === 0 ? input : kernel) ?? 0;
    const order = Array.from({ length: rank }, (_, d) => k + d).flatMap((d) => (d === k + at ? [...sizes.map((_, l) => l), d] : [d]));
    const dims = value.type.dims.slice(k).map((size, d) => (d === at ? size * count : size));
    return low.item(item.element, low.b.reshape(low.b.transpose(value, order), dims));
  });
  const groups: Attribute = { kind: "number", text: String((integer(op, "feature_group_count") ?? 1) * count) };
  const own = type.dims.map((d) => d ?? 1);
  const wide = { ...type, dims: own.map((size, d) => (d === output ? size * count : size)) };
  const results = convert({ ...op, attributes: new Map([...op.attributes, ["feature_group_count", groups]]), resultTypes: [wide] }, joined);
  return results.map((item) => {
    const split = low.b.reshape(
      low.value(item),
      own.flatMap((size, d) => (d === output ? [...sizes, size] : [size])),
    );
    const rest = own.map((_, d) => (d < output ? d : d + k));
    const moved = low.b.transpose(split, [...sizes.map((_, l) => output + l), ...rest]);
    return { ...low.item(item.element, constrained(low, moved, lead)), lead };
  });
}

/** The most different starts of one slice. */
const maxStarts = 1024;

/** A slice whose start depends on the number of the chip alone: one slice for each number. Undefined for other slices. */
function sliceOfEachChip(low: Lowering, region: ManualRegion, op: Operation, [operand, ...starts]: readonly Item[]): Item | undefined {
  const varying = jointLead(region.axes, starts);
  const numbers = starts.map((item) => ({ lead: leadOf(item), data: numbersOf(item) }));
  const sizes = integers(op, "slice_sizes") ?? [];
  if (operand === undefined || varying.length === 0 || product(varying) > maxStarts || numbers.some(({ data }) => data === undefined))
    return undefined;
  const lead = jointLead(region.axes, [operand, ...starts]);
  const value = low.value(spread(low, operand, lead));
  const local = value.type.dims.slice(lead.length);
  const coordinates = Array.from({ length: product(varying) }, (_, flat) =>
    indexOf(
      flat,
      varying.map(({ size }) => size),
    ),
  );
  const slices = coordinates.map((at) => {
    const chip = new Map(varying.map(({ axis }, i) => [axis, at[i] ?? 0]));
    const begin = numbers.map(({ lead: own, data }, d) => {
      const dims = own.map(({ size }) => size);
      const start =
        data?.[
          flatOf(
            dims,
            own.map(({ axis }) => chip.get(axis) ?? 0),
          )
        ] ?? 0;
      return Math.min(Math.max(0, start), (local[d] ?? 0) - (sizes[d] ?? 0));
    });
    const from = [...lead.map(({ axis }) => chip.get(axis) ?? 0), ...begin];
    const to = from.map((start, i) =>
      i >= lead.length ? start + (sizes[i - lead.length] ?? 0) : chip.has(lead[i]?.axis ?? "") ? start + 1 : (lead[i]?.size ?? 1),
    );
    return low.b.slice(value, from, to);
  });
  const kept = lead.filter((each) => !varying.includes(each));
  const stacked = low.b.reshape(low.b.concatenate(stackable(low, slices), 0), [
    ...varying.map(({ size }) => size),
    ...kept.map(({ size }) => size),
    ...sizes,
  ]);
  const order = [...varying, ...kept];
  const moved = low.b.transpose(stacked, [...lead.map((each) => order.indexOf(each)), ...sizes.map((_, d) => lead.length + d)]);
  return { ...low.item(operand.element, constrained(low, moved, lead)), lead };
}

/** The values with a first dim of 1, along which they are joined. */
const stackable = (low: Lowering, values: readonly Value[]): Value[] =>
  values.map((value) => low.b.reshape(value, [1, ...value.type.dims]));

/** The number of each chip along the manual axes. Other axes count as 0: the text divides them out. */
function chipNumbers({ axes, mesh }: ManualRegion): Item {
  const strides = new Map(mesh.map(({ name }, i) => [name, mesh.slice(i + 1).reduce((n, { size }) => n * size, 1)]));
  const dims = axes.map(({ size }) => size);
  const data = Float64Array.from({ length: product(axes) }, (_, index) => {
    let rest = index;
    return axes.reduceRight((sum, { axis, size }) => {
      const at = rest % size;
      rest = Math.floor(rest / size);
      return sum + at * (strides.get(axis) ?? 1);
    }, 0);
  });
  return withLead(knownItem({ element: "ui32", dims }, data), axes);
}

/** The manual axes over which the groups of a collective run. */
function axesOfGroups(op: Operation, { axes, mesh }: ManualRegion): readonly Lead[] {
  const attribute = op.attributes.get("replica_groups");
  const named = [...bodyOf(attribute).matchAll(/axis_ref<name\s*=\s*"([^"]*)"/g)].map(([, name = ""]) => name);
  if (named.length > 0) return axes.filter(({ axis }) => named.includes(axis));
  const wanted = groupText(groupsOf(attribute));
  const subsets = Array.from({ length: 2 ** axes.length }, (_, bits) => axes.filter((_axis, i) => (bits >> i) % 2 === 1));
  const found = subsets.find((subset) => groupText(groupsAlong(mesh, subset)) === wanted);
  if (found === undefined) throw new Unconvertible("its groups are not those of axes of the mesh");
  return found;
}

const groupText = (groups: readonly (readonly number[])[]): string =>
  groups
    .map((group) => group.join())
    .sort()
    .join(";");

/** The lists of `dense<[[0, 1], [2, 3]]>`. */
function groupsOf(attribute: Attribute | undefined): number[][] {
  const body = attribute?.kind === "dense" ? attribute.body : "";
  const inner = body.match(/\[[^[\]]*\]/g) ?? [];
  return inner.map((text) => (text.match(/-?\d+/g) ?? []).map(Number));
}

function groupsAlong(mesh: readonly MeshAxis[], subset: readonly Lead[]): number[][] {
  const groups = new Map<string, number[]>();
  const size = mesh.reduce((n, axis) => n * axis.size, 1);
  for (let chip = 0; chip < size; chip++) {
    let rest = chip;
    const at = [...mesh].reverse().map((axis) => {
      const index = rest % axis.size;
      rest = Math.floor(rest / axis.size);
      return subset.some((each) => each.axis === axis.name) ? "*" : String(index);
    });
    const key = at.join();
    groups.set(key, [...(groups.get(key) ?? []), chip]);
  }
  return [...groups.values()];
}

type Combiner = "sum" | "max" | "min";
const combiners: Readonly<Record<string, Combiner>> = { "stablehlo.add": "sum", "stablehlo.maximum": "max", "stablehlo.minimum": "min" };

function combinerOf({ regions: [body] }: Operation): Combiner {
  const [first] = body?.blocks[0]?.operations ?? [];
  const found = combiners[first?.name ?? ""];
  if (found === undefined) throw new Unconvertible(`a collective that combines by ${first?.name ?? "nothing"} is not supported`);
  return found;
}

/** The combination over the axes, which every chip then has: without leading dims of these axes. */
function allReduce(low: Lowering, item: Item, axes: readonly Lead[], combiner: Combiner): Item {
  const lead = leadOf(item);
  const over = lead.flatMap(({ axis }, i) => (axes.some((each) => each.axis === axis) ? [i] : []));
  // Along an axis without a leading dim, all chips have the same.
  const equal = axes.filter(({ axis }) => !lead.some((each) => each.axis === axis));
  const reduced = over.length === 0 ? low.value(physical(item)) : low.b.reduce(low.value(physical(item)), over, combiner);
  const value = combiner === "sum" && equal.length > 0 ? low.b.scale(reduced, product(equal)) : reduced;
  return marked(
    low.item(item.element, value),
    lead.filter((_, i) => !over.includes(i)),
  );
}

/** Moves leading dims of the axes in front of dim `d`, and joins them with it. */
function allGather(low: Lowering, item: Item, axes: readonly Lead[], d: number, { axes: all }: ManualRegion): Item {
  const lead = all.filter((each) => axes.includes(each) || leadOf(item).some(({ axis }) => axis === each.axis));
  const value = low.value(spread(low, item, lead));
  const kept = lead.filter((each) => !axes.includes(each));
  const at = (each: Lead): number => lead.indexOf(each);
  const rank = value.type.dims.length - lead.length;
  const dims = Array.from({ length: rank }, (_, i) => lead.length + i);
  const moved = low.b.transpose(value, [...kept.map(at), ...dims.slice(0, d), ...axes.map(at), ...dims.slice(d)]);
  const local = value.type.dims.slice(lead.length).map((size, i) => (i === d ? size * product(axes) : size));
  const joined = low.b.reshape(moved, [...kept.map(({ size }) => size), ...local]);
  return marked(low.item(item.element, joined), kept);
}

/** Splits dim `d` into the axes and the rest, and makes the axes leading dims. */
function scatter(low: Lowering, item: Item, axes: readonly Lead[], d: number, { axes: all }: ManualRegion): Item {
  const own = leadOf(item);
  const value = low.value(physical(item));
  const parts = value.type.dims.flatMap((size, i) =>
    i === own.length + d ? [...axes.map((each) => each.size), size / product(axes)] : [size],
  );
  if (!parts.every(Number.isInteger)) throw new Unconvertible("its axes do not divide the dim");
  const split = low.b.reshape(value, parts);
  const lead = all.filter((each) => axes.includes(each) || own.some(({ axis }) => axis === each.axis));
  const at = (each: Lead): number => {
    const known = own.findIndex(({ axis }) => axis === each.axis);
    return known >= 0 ? known : own.length + d + axes.indexOf(each);
  };
  const rest = parts.map((_, i) => i).filter((i) => i >= own.length && !(i >= own.length + d && i < own.length + d + axes.length));
  const moved = low.b.transpose(split, [...lead.map(at), ...rest]);
  return { ...low.item(item.element, constrained(low, moved, lead)), lead };
}

const reduceScatter = (low: Lowering, item: Item, axes: readonly Lead[], combiner: Combiner, d: number, region: ManualRegion): Item =>
  scatter(low, allReduce(low, item, axes, combiner), axes, d, region);

/** The dim `split` becomes the leading dims, and the old leading dims join dim `concat`. */
function allToAll(
  low: Lowering,
  item: Item,
  axes: readonly Lead[],
  [split, concat]: readonly [number, number],
  { axes: all }: ManualRegion,
): Item {
  const lead = all.filter((each) => axes.includes(each) || leadOf(item).some(({ axis }) => axis === each.axis));
  const value = low.value(spread(low, item, lead));
  const parts = value.type.dims.flatMap((size, i) =>
    i === lead.length + split ? [...axes.map((each) => each.size), size / product(axes)] : [size],
  );
  if (!parts.every(Number.isInteger)) throw new Unconvertible("its axes do not divide the dim");
  const rank = value.type.dims.length - lead.length;
  const place = (d: number): number => lead.length + d + (d >= split ? axes.length : 0);
  const dims = Array.from({ length: rank }, (_, d) => place(d));
  const newLead = lead.map((each, i) => (axes.includes(each) ? lead.length + split + axes.indexOf(each) : i));
  const oldLead = axes.map((each) => lead.indexOf(each));
  const moved = low.b.transpose(low.b.reshape(value, parts), [...newLead, ...dims.slice(0, concat), ...oldLead, ...dims.slice(concat)]);
  const local = value.type.dims
    .slice(lead.length)
    .map((size, d) => (d === split ? size / product(axes) : size))
    .map((size, d) => (d === concat ? size * product(axes) : size));
  const joined = low.b.reshape(moved, [...lead.map(({ size }) => size), ...local]);
  return { ...low.item(item.element, constrained(low, joined, lead)), lead };
}

/** Every chip gets the value of another chip of one axis, or zeros. */
function permute(low: Lowering, item: Item, op: Operation, { axes: all, mesh }: ManualRegion): Item {
  const pairs = groupsOf(op.attributes.get("source_target_pairs"));
  const { axis, sources } = ringOf(pairs, all, mesh);
  const lead = all.filter((each) => each === axis || leadOf(item).some((own) => own.axis === each.axis));
  const value = low.value(spread(low, item, lead));
  const at = lead.indexOf(axis);
  const shifted = shiftOf(sources);
  if (shifted !== undefined)
    return { ...low.item(item.element, constrained(low, low.b.shift(value, at, shifted.by, shifted.wrap), lead)), lead };
  const part = (from: number, to: number): Value =>
    low.b.slice(
      value,
      value.type.dims.map((_, i) => (i === at ? from : 0)),
      value.type.dims.map((size, i) => (i === at ? to : size)),
    );
  const pieces: Value[] = [];
  for (let i = 0; i < axis.size; ) {
    const from = sources[i];
    let count = 1;
    while (i + count < axis.size && sources[i + count] === (from === undefined ? undefined : from + count)) count++;
    const dims = value.type.dims.map((size, d) => (d === at ? count : size));
    pieces.push(from === undefined ? low.b.splat(0, { ...value.type, dims }) : part(from, from + count));
    i += count;
  }
  const [only, ...more] = pieces;
  const joined = only !== undefined && more.length === 0 ? only : low.b.concatenate(pieces, at);
  return { ...low.item(item.element, constrained(low, joined, lead)), lead };
}

/** The shift that gives every chip the value of the chip `by` places before it. */
function shiftOf(sources: readonly (number | undefined)[]): { readonly by: number; readonly wrap: boolean } | undefined {
  const n = sources.length;
  const known = sources.findIndex((from) => from !== undefined);
  if (known < 0) return undefined;
  const by = known - (sources[known] ?? 0);
  const isShift = (wrap: boolean, step: number): boolean =>
    sources.every((from, to) => {
      const wanted = wrap ? (((to - step) % n) + n) % n : to - step;
      return from === (wanted >= 0 && wanted < n ? wanted : undefined);
    });
  if (isShift(false, by)) return { by, wrap: false };
  // The shorter way round.
  const turn = by > n / 2 ? by - n : by <= -n / 2 ? by + n : by;
  return isShift(true, turn) ? { by: turn, wrap: true } : undefined;
}

/** The axis along which the pairs move values, and by coordinate the coordinate that the value comes from. */
function ringOf(
  pairs: readonly (readonly number[])[],
  axes: readonly Lead[],
  mesh: readonly MeshAxis[],
): { axis: Lead; sources: readonly (number | undefined)[] } {
  const coordinate = (chip: number, name: string): number => {
    const i = mesh.findIndex((axis) => axis.name === name);
    const stride = mesh.slice(i + 1).reduce((n, { size }) => n * size, 1);
    return Math.floor(chip / stride) % (mesh[i]?.size ?? 1);
  };
  const size = mesh.reduce((n, axis) => n * axis.size, 1);
  for (const axis of axes) {
    const sources = Array<number | undefined>(axis.size).fill(undefined);
    const stays = pairs.every(([from = 0, to = 0]) =>
      mesh.every(({ name }) => name === axis.axis || coordinate(from, name) === coordinate(to, name)),
    );
    if (!stays) continue;
    for (const [from = 0, to = 0] of pairs) sources[coordinate(to, axis.axis)] = coordinate(from, axis.axis);
    const known = sources.filter((from) => from !== undefined).length;
    const agrees = pairs.every(([from = 0, to = 0]) => sources[coordinate(to, axis.axis)] === coordinate(from, axis.axis));
    if (agrees && pairs.length === (known * size) / axis.size) return { axis, sources };
  }
  throw new Unconvertible("its pairs are not along one axis, the same for all others");
}
