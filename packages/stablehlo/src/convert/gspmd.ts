import { LapidaryError } from "@lapidary/std";
import type { Attribute, Attributes, Operation, SourceModule } from "../text/syntax.js";
import { integer, stringOf } from "./attribute-values.js";
import type { MeshAxis, TextSharding } from "./sharding.js";

/**
 * Shardings of JAX before 0.8: `mhlo.sharding = "{devices=[2,1,4]<=[4,2]T(1,0) last_tile_dim_replicate}"`. They number the devices, and name no axes.
 *
 * `[4,2]` factors the number of devices, `T(1,0)` permutes the factors, and `[2,1,4]` divides them among the dims of the array; the last one is the
 * rest. All shardings of a text come from one mesh, so the axes are the products at which any of them divides the devices.
 */
interface Tiling {
  readonly tiles: readonly number[];
  readonly sizes: readonly number[];
  readonly order: readonly number[];
  /** What the tiles after those of the array's dims are. */
  readonly rest: readonly ("replicated" | "manual")[];
}

const maxText = 10_000;
const numbers = (text: string): number[] =>
  text
    .split(",")
    .filter((part) => part !== "")
    .map(Number);

/** Reads a sharding that divides its array; undefined for others, such as `{replicated}`. */
function tilingOf(text: string): Tiling | undefined {
  const match =
    /^\{devices=\[([\d,]+)\](?:<=\[([\d,]+)\](?:T\(([\d,]+)\))?|([\d,]+))(?: (last_tile_dim_replicate)| last_tile_dims=\{([a-z, ]+)\})?\}$/.exec(
      text.trim(),
    );
  if (match === null) return undefined;
  const [, tiles = "", sizes, order, list, replicated, rest] = match;
  const devices = numbers(tiles).reduce((n, size) => n * size, 1);
  if (list !== undefined && !numbers(list).every((device, i) => device === i)) return undefined;
  const of = sizes === undefined ? [devices] : numbers(sizes);
  return {
    tiles: numbers(tiles),
    sizes: of,
    order: order === undefined ? of.map((_, i) => i) : numbers(order),
    rest:
      replicated !== undefined
        ? ["replicated"]
        : (rest ?? "")
            .split(",")
            .map((part) => part.trim())
            .filter((part) => part !== "")
            .map((part) => (part === "manual" ? "manual" : "replicated")),
  };
}

/** A stretch of the numbers of the devices: the digits of weight `from` and more, below weight `to`. `from = 1` is the lowest digit. */
interface Digit {
  readonly from: number;
  readonly to: number;
}

/** The digits of each tile, major to minor. Undefined if a tile is not a product of factors. */
function digitsOf({ tiles, sizes, order }: Tiling): Digit[][] | undefined {
  const weights = sizes.map((_, i) => sizes.slice(i + 1).reduce((n, size) => n * size, 1));
  const queue = order
    .map((i): Digit => ({ from: weights[i] ?? 1, to: (weights[i] ?? 1) * (sizes[i] ?? 1) }))
    .filter(({ from, to }) => to > from);
  const all: Digit[][] = [];
  for (const tile of tiles) {
    const own: Digit[] = [];
    for (let left = tile; left > 1; ) {
      const next = queue.shift();
      if (next === undefined) return undefined;
      const size = next.to / next.from;
      if (left % size === 0) {
        own.push(next);
        left /= size;
      } else if (size % left === 0) {
        const middle = next.to / left;
        own.push({ from: middle, to: next.to });
        queue.unshift({ from: next.from, to: middle });
        left = 1;
      } else return undefined;
    }
    all.push(own);
  }
  return all;
}

/** Weights at which a group of devices divides their numbers: those of the digits that vary in it. */
function weightsOfGroup(group: readonly number[]): number[] {
  const weights: number[] = [];
  let sorted = [...group].sort((a, b) => a - b);
  while (sorted.length > 1) {
    const step = (sorted[1] ?? 1) - (sorted[0] ?? 0);
    let run = 1;
    while (run < sorted.length && (sorted[run] ?? 0) - (sorted[run - 1] ?? 0) === step) run++;
    if (step < 1 || sorted.length % run !== 0) break;
    weights.push(step, step * run);
    sorted = sorted.filter((_, i) => i % run === 0);
  }
  return weights;
}

/** The devices that pairs of sources and targets connect with the first source. */
function chainOf(pairs: readonly (readonly number[])[]): number[] {
  const next = new Map(pairs.map(([from = 0, to = 0]) => [from, to]));
  const targets = new Set(next.values());
  const start = [...next.keys()].find((device) => !targets.has(device)) ?? pairs[0]?.[0];
  const chain: number[] = [];
  for (let at = start; at !== undefined && !chain.includes(at) && chain.length <= pairs.length; at = next.get(at)) chain.push(at);
  return chain;
}

const listsOf = (attribute: Attribute | undefined): number[][] =>
  attribute?.kind === "dense" ? (attribute.body.match(/\[[^[\]]*\]/g) ?? []).map((inner) => (inner.match(/-?\d+/g) ?? []).map(Number)) : [];

function* everyOperation(operations: readonly Operation[]): Generator<Operation> {
  for (const op of operations) {
    yield op;
    for (const region of op.regions) for (const block of region.blocks) yield* everyOperation(block.operations);
  }
}

/** All attributes in which a text can state a sharding. */
function* shardingTexts(op: Operation): Generator<string> {
  const lists = ["arg_attrs", "res_attrs"].flatMap((key) => {
    const list = op.attributes.get(key);
    return list?.kind === "array" ? list.items.flatMap((item) => (item.kind === "dictionary" ? [item.entries] : [])) : [];
  });
  for (const attributes of [op.attributes, ...lists]) {
    const text = stringOf(attributes.get("mhlo.sharding"));
    if (text !== undefined && text.length <= maxText) yield text;
  }
}

/**
 * The axes of a text whose shardings number the devices: `x0`, `x1`, …, major to minor, or as `named` says. Undefined if no sharding of the text divides
 * an array.
 *
 * @throws LAP_IMPORT_SHARDING if no mesh has all shardings, or not the named axes
 */
export function meshOfDevices(
  module: SourceModule,
  operations: readonly Operation[],
  named: readonly MeshAxis[],
): readonly MeshAxis[] | undefined {
  const count = integer(module.operation, "mhlo.num_partitions") ?? 1;
  const weights = new Set([1, count]);
  let isTiled = false;
  const refuse = (line: number, message: string, remedy = "use one mesh in the whole step, or JAX 0.8 or later"): LapidaryError =>
    new LapidaryError({ code: "LAP_IMPORT_SHARDING", message, location: `${module.file}:${line}`, remedy });
  for (const op of everyOperation(operations)) {
    for (const text of shardingTexts(op)) {
      if (!text.startsWith("{devices=")) continue;
      const tiling = tilingOf(text);
      const digits = tiling === undefined ? undefined : digitsOf(tiling);
      if (digits === undefined) throw refuse(op.line, `the sharding ${text.slice(0, 80)} is not that of a mesh in row-major order`);
      isTiled = true;
      for (const { from, to } of digits.flat()) weights.add(from).add(to);
    }
    for (const group of listsOf(op.attributes.get("replica_groups")).slice(0, 1))
      for (const weight of weightsOfGroup(group)) weights.add(weight);
    const pairs = listsOf(op.attributes.get("source_target_pairs"));
    if (pairs.length > 0) for (const weight of weightsOfGroup(chainOf(pairs))) weights.add(weight);
  }
  if (!isTiled) return undefined;
  const own = [...weights].sort((a, b) => b - a);
  const divides = own.every((weight, i) => i === 0 || (own[i - 1] ?? weight) % weight === 0);
  if (!divides) throw refuse(1, "the shardings of the text are not those of one mesh");
  const found = own.slice(1).map((weight, i) => ({ name: `x${i}`, size: (own[i] ?? weight) / weight }));
  if (named.length === 0) return found;
  const given = new Set(named.map((_, i) => named.slice(i).reduce((n, { size }) => n * size, 1)));
  if (own.slice(0, -1).every((weight) => given.has(weight)) && given.has(count) && [...given].every((weight) => count % weight === 0))
    return named;
  const sizes = found.map(({ size }) => size).join(" × ");
  const example = found.map(({ name, size }) => `mesh.${name}=${size}`).join(" ");
  throw refuse(1, `the shardings of the text are those of a mesh of ${sizes}`, `name its axes in this order, for example ${example}`);
}

/** Converts shardings that number devices to shardings by axes of the mesh. */
export class DeviceShardings {
  constructor(readonly mesh: readonly MeshAxis[]) {}

  /** The sharding that attributes state for an array; undefined if they state none, or one that a region states itself (`{manual}`). */
  of(attributes: Attributes, rank: number): TextSharding | undefined {
    const text = stringOf(attributes.get("mhlo.sharding"));
    if (text === undefined || text.length > maxText || this.mesh.length === 0) return undefined;
    const open = unspecified(attributes);
    const dim = (d: number, axes: readonly string[]): TextSharding["dims"][number] => ({ axes, open: open.includes(d) });
    if (text.trim() === "{replicated}") return { mesh: "", dims: Array.from({ length: rank }, (_, d) => dim(d, [])) };
    const digits = this.#digits(text);
    return digits === undefined ? undefined : { mesh: "", dims: digits.slice(0, rank).map((own, d) => dim(d, this.#axes(own))) };
  }

  /** Whether attributes say that a value is one of a region. */
  isManual(attributes: Attributes): boolean {
    return /\bmanual\b/.test(stringOf(attributes.get("mhlo.sharding")) ?? "");
  }

  /** The manual axes of a value in a region: all axes for `{manual}`, otherwise those of the tiles that are manual. */
  manualAxes(attributes: Attributes, rank: number): readonly string[] {
    const text = stringOf(attributes.get("mhlo.sharding")) ?? "";
    if (text.trim() === "{manual}") return this.mesh.map(({ name }) => name);
    const tiling = text.length > maxText ? undefined : tilingOf(text);
    const digits = this.#digits(text);
    return (tiling?.rest ?? []).flatMap((kind, i) => (kind === "manual" ? this.#axes(digits?.[rank + i] ?? []) : []));
  }

  #digits(text: string): Digit[][] | undefined {
    const tiling = tilingOf(text);
    return tiling === undefined ? undefined : digitsOf(tiling);
  }

  /** The axes whose digits are inside of the given ones, major to minor. */
  #axes(digits: readonly Digit[]): string[] {
    return digits.flatMap(({ from, to }) =>
      this.mesh.flatMap(({ name, size }, i) => {
        const weight = this.mesh.slice(i + 1).reduce((n, axis) => n * axis.size, 1);
        return size > 1 && weight >= from && weight * size <= to ? [name] : [];
      }),
    );
  }
}

/** The dims that a constraint leaves to the compiler: `backend_config = "unspecified_dims=[1]"`. */
const unspecified = (attributes: Attributes): number[] =>
  numbers(/unspecified_dims=\[([\d,]*)\]/.exec(stringOf(attributes.get("backend_config")) ?? "")?.[1] ?? "");
