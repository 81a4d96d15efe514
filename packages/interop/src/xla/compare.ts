import { fileURLToPath } from "node:url";
import { type Origin, type Program, type Propagated, summarizeCollectives, winnerText } from "@lapidary/compiler";
import { bytesOf, parametersOf, type Sharding, type Value } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { type AtomId, atomOf, type Mesh, printAtoms } from "@lapidary/topology";
import { z } from "zod";

/** Who is asked: Shardy's own passes, which compile nothing, or all of XLA. */
export const judges = ["shardy", "xla"] as const;
export type Judge = (typeof judges)[number];

/** The Python script of a judge; it takes the path of a whole text, and JAX must be there. */
export const judgeScript = (judge: Judge): string =>
  fileURLToPath(new URL(`../../assets/judges/${judge === "shardy" ? "shardy.py" : "hlo.py"}`, import.meta.url));

const collectiveSchema = z.object({ op: z.string(), axes: z.array(z.string()), bytes: z.number(), name: z.string() });
const verdictSchema = z.object({
  collectives: z.array(collectiveSchema),
  /** By value id, axes by dim. Shardy tells them. */
  shardings: z.record(z.string(), z.array(z.array(z.string()))).optional(),
  /** Bytes of one device. XLA tells them. */
  memory: z.object({ arguments: z.number(), outputs: z.number(), aliased: z.number(), temporary: z.number() }).optional(),
});
/** What a judge makes of a whole text. */
export type Verdict = z.infer<typeof verdictSchema>;

/** @param json what `judges/shardy.py` or `judges/hlo.py` prints */
export function parseVerdict(json: string): Verdict {
  return verdictSchema.parse(JSON.parse(json));
}

/** Counts, and bytes that a chip sends in a step. */
export interface Traffic {
  readonly count: number;
  readonly bytes: number;
}

export interface ComparedTraffic {
  readonly op: string;
  /** Mesh axes, joined by `+`. */
  readonly axis: string;
  readonly ours: Traffic;
  readonly theirs: Traffic;
}

/** A value that the judge lays over the mesh otherwise than we do. */
export interface ShardingDifference {
  readonly id: number;
  readonly name: string;
  readonly op: string;
  readonly ours: string;
  readonly theirs: string;
  /** Why ours is so. */
  readonly reason: string;
}

export interface Comparison {
  readonly judge: Judge;
  readonly ours_bytes: number;
  readonly theirs_bytes: number;
  /** Ours over theirs; 1 where neither sends anything. */
  readonly ratio: number;
  /** By kind and axis, what is sent most first. */
  readonly collectives: readonly ComparedTraffic[];
  /** Where the judge tells shardings. */
  readonly shardings?: { readonly compared: number; readonly differences: readonly ShardingDifference[] };
  /** Bytes of one chip, where the judge tells them: what it holds throughout, and the most that comes on top. */
  readonly memory?: {
    readonly ours: { readonly arguments: number; readonly peak: number };
    readonly theirs: { readonly arguments: number; readonly peak: number };
  };
}

/**
 * Our program beside a judge's, for the same job. Bytes follow one rule on both sides (`bytesPerChip`): all_gather and reduce_scatter send
 * (n − 1)/n of the full array, all_reduce twice that.
 */
export function compareWith(judge: Judge, program: Program, verdict: Verdict): Comparison {
  const collectives = compareTraffic(program, verdict);
  const sum = (side: "ours" | "theirs"): number => collectives.reduce((bytes, row) => bytes + row[side].bytes, 0);
  const [ours, theirs] = [sum("ours"), sum("theirs")];
  return {
    judge,
    ours_bytes: ours,
    theirs_bytes: theirs,
    ratio: theirs === 0 ? (ours === 0 ? 1 : Infinity) : ours / theirs,
    collectives,
    ...(verdict.shardings === undefined ? {} : { shardings: compareShardings(program, verdict.shardings) }),
    ...(verdict.memory === undefined ? {} : { memory: compareMemory(program, verdict.memory) }),
  };
}

function compareTraffic(program: Program, verdict: Verdict): ComparedTraffic[] {
  const rows = new Map<string, { op: string; axis: string; ours: Traffic; theirs: Traffic }>();
  const none: Traffic = { count: 0, bytes: 0 };
  const row = (op: string, axis: string): { op: string; axis: string; ours: Traffic; theirs: Traffic } => {
    const made = rows.get(`${op} ${axis}`) ?? { op, axis, ours: none, theirs: none };
    rows.set(`${op} ${axis}`, made);
    return made;
  };
  for (const { op, axis, count, bytes_per_chip: bytes } of summarizeCollectives(program.chip)) row(op, axis).ours = { count, bytes };
  for (const { op, axes, bytes } of verdict.collectives) {
    const found = row(op, axes.join("+"));
    found.theirs = { count: found.theirs.count + 1, bytes: found.theirs.bytes + bytes };
  }
  return [...rows.values()].sort((a, b) => Math.max(b.ours.bytes, b.theirs.bytes) - Math.max(a.ours.bytes, a.theirs.bytes));
}

function compareShardings(
  { mesh, propagated }: Program,
  shardings: NonNullable<Verdict["shardings"]>,
): NonNullable<Comparison["shardings"]> {
  const differences: ShardingDifference[] = [];
  let compared = 0;
  for (const value of propagated.graph.values) {
    const theirs = shardings[String(value.id)];
    // Constants are made wherever they are needed.
    if (theirs === undefined || value.op === "constant") continue;
    compared++;
    const ours = must<Sharding>(value.sharding, "sharding").dims.map((atoms) => printAtoms(mesh, atoms));
    const [a, b] = [dimsText(ours), dimsText(theirs)];
    if (a !== b)
      differences.push({ id: value.id, name: value.name, op: value.op, ours: a, theirs: b, reason: reasonOf(mesh, propagated, value) });
  }
  return { compared, differences };
}

const dimsText = (dims: readonly (readonly string[])[]): string => `[${dims.map((axes) => axes.join("+") || "-").join(", ")}]`;

/** Who split each dim, and which claims lost there. */
function reasonOf(mesh: Mesh, propagated: Propagated, value: Value): string {
  const origins: ReadonlyMap<AtomId, Origin> = propagated.origins[value.id] ?? new Map();
  const axisOf = (atom: AtomId): string => atomOf(mesh, atom).axis;
  const split = must<Sharding>(value.sharding, "sharding").dims.flatMap((atoms, d) => {
    const roots = [...new Set(atoms.map((atom) => origins.get(atom)?.root ?? "propagation"))];
    return atoms.length === 0 ? [] : [`dim ${d} over ${[...new Set(atoms.map(axisOf))].join("+")} by ${roots.join(" and ")}`];
  });
  const lost = propagated.conflicts
    .filter(({ op, tensor }) => op === value.id && tensor !== value.id)
    .map(
      ({ atoms, lost: claim, winner }) =>
        `${[...new Set(atoms.map(axisOf))].join("+")} (${claim?.root ?? ""}) lost to ${winnerText(winner)}`,
    );
  return [split.length === 0 ? "no rule reaches it" : split.join(", "), ...new Set(lost)].join("; ");
}

function compareMemory({ chip, memory }: Program, theirs: NonNullable<Verdict["memory"]>): NonNullable<Comparison["memory"]> {
  const own = parametersOf(chip).reduce((sum, { type }) => sum + bytesOf(type), 0);
  return {
    ours: { arguments: own, peak: memory.peakBytes },
    // Results that alias no argument need room of their own.
    theirs: { arguments: theirs.arguments, peak: theirs.arguments + theirs.temporary + theirs.outputs - theirs.aliased },
  };
}
