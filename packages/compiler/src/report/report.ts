import { ensure } from "@lapidary/std";
import { type Graph, type Value, blocksOf, bytesOf, ops, parametersOf, printSharding, runsOf, withoutBlocks } from "@lapidary/ir";
import { bytesPerChip } from "../partition/index.js";

/** Collectives of a program of one kind over one axis. */
export interface CollectiveSummary {
  readonly op: string;
  /** Axes joined by `+`, as the program names them. */
  readonly axis: string;
  readonly count: number;
  /** Bytes that one chip sends over links for all of them in a step. */
  readonly bytes_per_chip: number;
  /** The cause of the largest of them. */
  readonly why: string;
}

/** The collectives of a per-chip program, most bytes first. */
export function summarizeCollectives(chip: Graph): CollectiveSummary[] {
  const groups = new Map<string, { op: string; axis: string; count: number; bytes: number; largest: number; why: string }>();
  for (const value of collectivesOf(chip)) {
    const axis = axesOf(value).join("+");
    const runs = runsOf(value);
    const bytes = runs * bytesPerChip(value, ensure(chip.values[ensure(value.inputs[0], "operand")], "operand"));
    const group = groups.get(`${value.op} ${axis}`) ?? { op: value.op, axis, count: 0, bytes: 0, largest: -1, why: "" };
    group.count += runs;
    group.bytes += bytes;
    if (bytes > group.largest) {
      group.largest = bytes;
      group.why = value.cause ?? "";
    }
    groups.set(`${value.op} ${axis}`, group);
  }
  return [...groups.values()]
    .sort((a, b) => b.bytes - a.bytes || a.op.localeCompare(b.op))
    .map(({ op, axis, count, bytes, why }) => ({ op, axis, count, bytes_per_chip: bytes, why }));
}

/** Collectives that communicate, in order. */
export const collectivesOf = (chip: Graph): Value[] => chip.values.filter((value) => ops[value.op].communicates);

const axesOf = (value: Value): readonly string[] => ("axes" in value.attrs ? value.attrs.axes : []);

/** Bytes of the states on one chip. */
export function stateBytesPerChip(chip: Graph): { params: number; optimizer: number; gradients: number } {
  const sum = (values: readonly Value[]): number => values.reduce((n, value) => n + bytesOf(value.type), 0);
  const states = parametersOf(chip) as Value[];
  const gradients = new Map<string, Value>();
  // The update reads the last version of a gradient.
  for (const value of chip.values) if (value.role === "gradient") gradients.set(value.name, value);
  return {
    params: sum(states.filter((v) => v.role === "param")),
    optimizer: sum(states.filter((v) => v.role === "optimizer")),
    gradients: sum([...gradients.values()]),
  };
}

/** A row for each state: dims, sharding, and the bytes on one chip. */
export function shardTable(
  chip: Graph,
  global: Graph,
): { name: string; dims: string; sharding: string; local_dims: string; bytes_per_chip: number }[] {
  const mesh = ensure(chip.mesh, "mesh");
  const whole = new Map(parametersOf(global).map((p) => [p.attrs.name, p]));
  return parametersOf(chip).map((p) => ({
    name: p.attrs.name,
    dims: ensure(whole.get(p.attrs.name), "parameter").type.dims.join("×"),
    sharding: printSharding(mesh, ensure(p.sharding, "sharding")),
    local_dims: p.type.dims.join("×"),
    bytes_per_chip: bytesOf(p.type),
  }));
}

/** The sharding of a weight. The weights with the same name in all blocks are one row. */
export interface WeightShards {
  /** With `*` for the number of the block. */
  readonly name: string;
  readonly dims: string;
  readonly sharding: string;
  readonly local_dims: string;
  readonly bytes_per_chip: number;
  /** Number of weights in the row. The sizes are those of the first. */
  readonly count: number;
}

/** The weights of a program. */
export function weightShards(chip: Graph, global: Graph): WeightShards[] {
  const states = new Map(parametersOf(chip).map((p) => [p.attrs.name, p]));
  const blocks = blocksOf(chip);
  const groups = new Map<string, WeightShards>();
  for (const row of shardTable(chip, global)) {
    const state = ensure(states.get(row.name), row.name);
    if (state.role !== "param" && state.role !== "gathered") continue;
    const name = withoutBlocks(row.name, blocks);
    const known = groups.get(name);
    groups.set(name, known === undefined ? { ...row, name, count: 1 } : { ...known, count: known.count + 1 });
  }
  return [...groups.values()];
}
