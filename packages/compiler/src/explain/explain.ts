import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, chipCoordinates, chipCount, meshSize, printAtoms, shardIndex } from "@lapidary/topology";
import { type Sharding, type Value, type ValueId, blocksOf, bytesOf, printSharding, printType, runsOf, withoutBlocks } from "@lapidary/ir";
import { bytesPerChip } from "../partition/index.js";
import type { Program } from "../program.js";
import { type Alternative, alternativesOf } from "./alternatives.js";
import { findValue } from "./find-value.js";
import { type Shortfall, shortfallReason, winnerText } from "../propagate/index.js";
import { collectivesOf } from "../report/index.js";

/** Collectives that exist for the same reason in every block of the model, as one line. */
export interface ExplainedCollective {
  readonly op: string;
  readonly axis: string;
  /** Name of the value, with `*` for the number of the block. */
  readonly value: string;
  /** In all iterations of its region. */
  readonly count: number;
  /** Iterations of the region, such as microbatches, in each of which it runs; absent outside of regions. */
  readonly iterations?: number;
  readonly bytes_per_chip: number;
  /** Of all bytes that a chip sends in a step, 0 to 1. */
  readonly share: number;
  readonly phase: string;
  readonly why: string;
  /** The line of the user's program, for an imported step with locations. */
  readonly source?: string;
}

/** The collectives of a program with their causes, most bytes first. Equal collectives of different blocks are one entry. */
export const explainCollectives = (program: Program): ExplainedCollective[] => collectiveGroups(program).map(({ explained }) => explained);

/** The same entries, each with the first of its collectives. */
export function collectiveGroups(program: Program): { readonly explained: ExplainedCollective; readonly first: ValueId }[] {
  const groups = new Map<string, { first: Value; value: string; count: number; bytes: number }>();
  const blocks = blocksOf(program.chip);
  let total = 0;
  for (const value of collectivesOf(program.chip)) {
    const runs = runsOf(value);
    const bytes = runs * bytesPerChip(value, ensure(program.chip.values[ensure(value.inputs[0], "operand")], "operand"));
    total += bytes;
    const name = withoutBlocks(value.name, blocks);
    const key = JSON.stringify([value.op, value.attrs, name, value.type, value.scope.phase, value.scope.line, value.scope.region]);
    const group = groups.get(key) ?? { first: value, value: name, count: 0, bytes: 0 };
    group.count += runs;
    group.bytes += bytes;
    groups.set(key, group);
  }
  return [...groups.values()]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ first, value, count, bytes }) => ({
      first: first.id,
      explained: {
        op: first.op,
        axis: "axes" in first.attrs ? first.attrs.axes.join("+") : "",
        value,
        count,
        bytes_per_chip: bytes,
        share: total === 0 ? 0 : bytes / total,
        phase: first.scope.phase,
        ...(runsOf(first) === 1 ? {} : { iterations: runsOf(first) }),
        why: count === runsOf(first) ? (first.cause ?? "") : withoutBlocks(first.cause ?? "", blocks),
        ...(first.scope.line === undefined ? {} : { source: first.scope.line }),
      },
    }));
}

export interface ExplainedValue {
  readonly name: string;
  readonly type: string;
  readonly sharding: string;
  readonly bytes_per_chip: number;
  readonly dims: readonly ExplainedDim[];
  /** Its values in the per-chip program: the result of its op, and each reshard with its reason. */
  readonly versions: readonly {
    readonly op: string;
    readonly type: string;
    readonly sharding: string;
    readonly bytes_moved_per_chip: number;
    readonly why: string;
  }[];
  /** Ops that read or write this value without some of its axes, with the claim that won. */
  readonly conflicts: readonly string[];
  /** The chosen sharding first, then others. */
  readonly alternatives: readonly Alternative[];
  readonly layout: string;
}

interface ExplainedDim {
  readonly size: number;
  readonly logical_axis: string | null;
  readonly axes: readonly string[];
  /** The op and the rule from which its axes come; then the reason if a rule or ZeRO splits it less than requested. */
  readonly decided_by: readonly string[];
}

/** All results of the compiler for one value, by its name in the graph. */
export function explainValue(program: Program, name: string, torus: readonly number[]): ExplainedValue {
  const value = findValue(program, name);
  const { mesh, propagated } = program;
  const sharding = ensure(value.sharding, "sharding");
  const own = program.chip.values.filter((v) => v.name === value.name && v.op !== "constant");
  return {
    name: value.name,
    type: printType(value.type),
    sharding: printSharding(mesh, sharding),
    bytes_per_chip: bytesOf(value.type) / atomsSize(mesh, sharding.dims.flat()),
    dims: value.type.dims.map((size, d) => ({
      size,
      logical_axis: value.logicalAxes?.[d] ?? null,
      axes: printAtoms(mesh, sharding.dims[d] ?? []),
      decided_by: [
        ...((sharding.dims[d] ?? []).length === 0 ? [] : originChain(program, value.id, ensure(sharding.dims[d]?.[0], "atom"))),
        ...reasonsOf(program, value, d),
      ],
    })),
    versions: own.map((v) => {
      const input = program.chip.values[v.inputs[0] ?? -1];
      return {
        op: v.op,
        type: printType(v.type),
        sharding: printSharding(mesh, ensure(v.sharding, "sharding")),
        bytes_moved_per_chip: input === undefined ? 0 : bytesPerChip(v, input),
        why: v.cause ?? "",
      };
    }),
    conflicts: propagated.conflicts.flatMap((c) =>
      c.tensor === value.id
        ? [
            `${describeOp(program, c.op)} does not split dim ${c.dimension} over ${printAtoms(mesh, c.atoms).join("+")}: ${c.lost?.root ?? "the claim"} lost to ${winnerText(c.winner)}`,
          ]
        : [],
    ),
    alternatives: alternativesOf(mesh, value).map(({ dims: _, ...rest }) => rest),
    layout: drawLayout(mesh, torus, sharding),
  };
}

/** The origin of an atom of a value: the op that propagated it, then the rule. */
function originChain(program: Program, id: ValueId, atom: AtomId): string[] {
  const { origins } = program.propagated;
  const first = origins[id]?.get(atom);
  if (first === undefined) return [];
  return first.via === undefined ? [first.root] : [`by ${describeOp(program, first.via)}`, first.root];
}

/** The reason if a dim is split less than a rule or ZeRO requests, for the value itself or for a param with its logical axis. */
function reasonsOf({ mesh, global, propagated }: Program, value: Value, d: number): string[] {
  const logical = value.logicalAxes?.[d]?.split("/")[0];
  const own = propagated.shortfalls.filter((each) => each.value === value.id && each.dimension === d);
  const isMissing = ({ wanted, taken }: Shortfall): boolean =>
    !wanted.some((atom) => !taken.includes(atom) && (value.sharding?.dims[d] ?? []).includes(atom));
  const shared = propagated.shortfalls.filter(
    (each) => each.logical !== undefined && each.logical === logical && global.values[each.value]?.op === "parameter" && isMissing(each),
  );
  const found = own.length > 0 ? own : shared.slice(0, 1);
  return found.length === 0 ? [] : [found.map((each) => `${each.cause}: ${shortfallReason(mesh, each)}`).join("; ")];
}

const describeOp = (program: Program, id: ValueId): string => {
  const value = ensure(program.global.values[id], "op");
  return `${value.op} ${value.name}`;
};

/**
 * A drawing of the torus with the shard of each chip. A cell is a chip, and its number is that of the shard (row-major over the
 * dims). Chips with equal numbers have the same data. A torus that is not two-dimensional is drawn as rows of its last dim.
 */
function drawLayout(mesh: Mesh, torus: readonly number[], sharding: Sharding): string {
  const chips = Math.min(meshSize(mesh), chipCount({ dims: torus }));
  const columns = torus.at(-1) ?? 1;
  const shardOf = (chip: number): number =>
    sharding.dims.reduce((n, atoms) => n * atomsSize(mesh, atoms) + shardIndex(mesh, chip, atoms), 0);
  const width = Math.max(2, String(atomsSize(mesh, sharding.dims.flat()) - 1).length);
  const rows: string[] = [`     ${Array.from({ length: columns }, (_, y) => `y${y}`.padStart(width + 1)).join("")}`];
  for (let chip = 0; chip < chips; chip += columns) {
    const x = chipCoordinates({ dims: torus }, chip).slice(0, -1).join(",");
    rows.push(`x${x}`.padEnd(5) + Array.from({ length: columns }, (_, y) => String(shardOf(chip + y)).padStart(width + 1)).join(""));
  }
  return rows.join("\n");
}

/** Whether a value is inside a block and has no logical axes. Values of the backward pass are compared in any case. */
const isInner = ({ op, logicalAxes, scope }: Value): boolean =>
  op !== "parameter" && logicalAxes === undefined && scope.block !== undefined && scope.phase !== "backward";

/** The difference of two programs: shardings of values of equal name, and collectives by op and axis. */
export interface ProgramDifference {
  readonly shardings: readonly { readonly name: string; readonly a: string; readonly b: string }[];
  readonly collectives: readonly {
    readonly op: string;
    readonly axis: string;
    readonly count_a: number;
    readonly count_b: number;
    readonly bytes_a: number;
    readonly bytes_b: number;
  }[];
}

export function diffPrograms(a: Program, b: Program): ProgramDifference {
  const shardings = new Map<string, { a: string; b: string }>();
  for (const [key, program] of [
    ["a", a],
    ["b", b],
  ] as const)
    for (const value of program.global.values) {
      if (value.op === "constant" || isInner(value)) continue;
      const entry = shardings.get(value.name) ?? { a: "-", b: "-" };
      entry[key] = printSharding(program.mesh, ensure(value.sharding, "sharding"));
      shardings.set(value.name, entry);
    }
  const collectives = new Map<string, { op: string; axis: string; count_a: number; count_b: number; bytes_a: number; bytes_b: number }>();
  for (const [key, program] of [
    ["a", a],
    ["b", b],
  ] as const)
    for (const value of collectivesOf(program.chip)) {
      const axis = "axes" in value.attrs ? value.attrs.axes.join("+") : "";
      const entry = collectives.get(`${value.op} ${axis}`) ?? { op: value.op, axis, count_a: 0, count_b: 0, bytes_a: 0, bytes_b: 0 };
      entry[`count_${key}`]++;
      entry[`bytes_${key}`] += bytesPerChip(value, ensure(program.chip.values[ensure(value.inputs[0], "operand")], "operand"));
      collectives.set(`${value.op} ${axis}`, entry);
    }
  return {
    shardings: [...shardings].filter(([, s]) => s.a !== s.b).map(([name, s]) => ({ name, ...s })),
    collectives: [...collectives.values()].sort((x, y) => Math.max(y.bytes_a, y.bytes_b) - Math.max(x.bytes_a, x.bytes_b)),
  };
}
