import { fileURLToPath } from "node:url";
import { type Origin, type Program, type Propagated, summarizeCollectives, winnerText } from "@lapidary/compiler";
import { bytesOf, parametersOf, type Sharding, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { type AtomId, atomOf, type Mesh, printAtoms } from "@lapidary/topology";
import { z } from "zod";

/** The reference partitioners: `shardy` runs Shardy's passes and compiles nothing; `xla` compiles the program with XLA. */
const referenceBackends = ["shardy", "xla"] as const;
export type ReferenceBackend = (typeof referenceBackends)[number];

/** The Python script of a backend. It takes the path of a global module and needs JAX. */
export const backendScript = (backend: ReferenceBackend): string =>
  fileURLToPath(new URL(`../../assets/backends/${backend === "shardy" ? "shardy.py" : "hlo.py"}`, import.meta.url));

const collectiveSchema = z.object({ op: z.string(), axes: z.array(z.string()), bytes: z.number(), name: z.string() });
const outputSchema = z.object({
  collectives: z.array(collectiveSchema),
  /** Axes by dim, by value id. Only `shardy` prints them. */
  shardings: z.record(z.string(), z.array(z.array(z.string()))).optional(),
  /** Bytes on one device. Only `xla` prints them. */
  memory: z.object({ arguments: z.number(), outputs: z.number(), aliased: z.number(), temporary: z.number() }).optional(),
});
/** The output of a backend for a global module. */
export type BackendOutput = z.infer<typeof outputSchema>;

/** @param json the output of `backends/shardy.py` or `backends/hlo.py` */
export function parseBackendOutput(json: string): BackendOutput {
  return outputSchema.parse(JSON.parse(json));
}

/** Number of collectives, and bytes that a chip sends in a step. */
interface Traffic {
  readonly count: number;
  readonly bytes: number;
}

interface ComparedTraffic {
  readonly op: string;
  /** Mesh axes, joined by `+`. */
  readonly axis: string;
  readonly ours: Traffic;
  readonly theirs: Traffic;
}

/** A value that the backend shards differently. */
interface ShardingDifference {
  readonly id: number;
  readonly name: string;
  readonly op: string;
  readonly ours: string;
  readonly theirs: string;
  /** The origin of Lapidary's sharding. */
  readonly reason: string;
}

export interface Comparison {
  /** The backend; the JSON output keeps this name. */
  readonly judge: ReferenceBackend;
  readonly ours_bytes: number;
  readonly theirs_bytes: number;
  /** `ours_bytes / theirs_bytes`; 1 if both are 0. */
  readonly ratio: number;
  /** By op and axis, the largest traffic first. */
  readonly collectives: readonly ComparedTraffic[];
  /** Set if the backend prints shardings. */
  readonly shardings?: { readonly compared: number; readonly differences: readonly ShardingDifference[] };
  /** Bytes on one chip, if the backend prints them: the arguments, and the peak of a step. */
  readonly memory?: {
    readonly ours: { readonly arguments: number; readonly peak: number };
    readonly theirs: { readonly arguments: number; readonly peak: number };
  };
}

/**
 * Compares the program of Lapidary with that of a backend for the same job. Bytes follow one rule on both sides (`bytesPerChip`): all_gather
 * and reduce_scatter send (n − 1)/n of the full array, all_reduce twice that.
 */
export function compareWith(backend: ReferenceBackend, program: Program, output: BackendOutput): Comparison {
  const collectives = compareTraffic(program, output);
  const sum = (side: "ours" | "theirs"): number => collectives.reduce((bytes, row) => bytes + row[side].bytes, 0);
  const [ours, theirs] = [sum("ours"), sum("theirs")];
  return {
    judge: backend,
    ours_bytes: ours,
    theirs_bytes: theirs,
    ratio: theirs === 0 ? (ours === 0 ? 1 : Infinity) : ours / theirs,
    collectives,
    ...(output.shardings === undefined ? {} : { shardings: compareShardings(program, output.shardings) }),
    ...(output.memory === undefined ? {} : { memory: compareMemory(program, output.memory) }),
  };
}

function compareTraffic(program: Program, output: BackendOutput): ComparedTraffic[] {
  const rows = new Map<string, { op: string; axis: string; ours: Traffic; theirs: Traffic }>();
  const none: Traffic = { count: 0, bytes: 0 };
  const row = (op: string, axis: string): { op: string; axis: string; ours: Traffic; theirs: Traffic } => {
    const existing = rows.get(`${op} ${axis}`) ?? { op, axis, ours: none, theirs: none };
    rows.set(`${op} ${axis}`, existing);
    return existing;
  };
  for (const { op, axis, count, bytes_per_chip: bytes } of summarizeCollectives(program.chip)) row(op, axis).ours = { count, bytes };
  for (const { op, axes, bytes } of output.collectives) {
    const found = row(op, axes.join("+"));
    found.theirs = { count: found.theirs.count + 1, bytes: found.theirs.bytes + bytes };
  }
  return [...rows.values()].sort((a, b) => Math.max(b.ours.bytes, b.theirs.bytes) - Math.max(a.ours.bytes, a.theirs.bytes));
}

function compareShardings(
  { mesh, propagated }: Program,
  shardings: NonNullable<BackendOutput["shardings"]>,
): NonNullable<Comparison["shardings"]> {
  const differences: ShardingDifference[] = [];
  let compared = 0;
  for (const value of propagated.graph.values) {
    const theirs = shardings[String(value.id)];
    // Both sides materialize constants where they are used.
    if (theirs === undefined || value.op === "constant") continue;
    compared++;
    const ours = ensure<Sharding>(value.sharding, "sharding").dims.map((atoms) => printAtoms(mesh, atoms));
    const [a, b] = [dimsText(ours), dimsText(theirs)];
    if (a !== b)
      differences.push({ id: value.id, name: value.name, op: value.op, ours: a, theirs: b, reason: reasonOf(mesh, propagated, value) });
  }
  return { compared, differences };
}

const dimsText = (dims: readonly (readonly string[])[]): string => `[${dims.map((axes) => axes.join("+") || "-").join(", ")}]`;

/** The rules that split each dim, and the conflicting requests that lost. */
function reasonOf(mesh: Mesh, propagated: Propagated, value: Value): string {
  const origins: ReadonlyMap<AtomId, Origin> = propagated.origins[value.id] ?? new Map();
  const axisOf = (atom: AtomId): string => atomOf(mesh, atom).axis;
  const split = ensure<Sharding>(value.sharding, "sharding").dims.flatMap((atoms, d) => {
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

function compareMemory({ chip, memory }: Program, theirs: NonNullable<BackendOutput["memory"]>): NonNullable<Comparison["memory"]> {
  const parameterBytes = parametersOf(chip).reduce((sum, { type }) => sum + bytesOf(type), 0);
  return {
    ours: { arguments: parameterBytes, peak: memory.peakBytes },
    // Results that do not alias an argument need memory of their own.
    theirs: { arguments: theirs.arguments, peak: theirs.arguments + theirs.temporary + theirs.outputs - theirs.aliased },
  };
}
