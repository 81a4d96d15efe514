import { fileURLToPath } from "node:url";
import { type Program, primalName, summarizeCollectives } from "@lapidary/compiler";
import type { Graph, Phase, Scope, ValueRole } from "@lapidary/ir";
import { z } from "zod";

/** The version of Google's TPU compiler on PyPI that is supported and tested. Newer versions may print other HLO. */
export const libtpuVersion = "0.0.52";
/** The terms that the user accepts before it is installed. */
export const libtpuNotice = {
  licence: "Google Cloud Platform Terms of Service (https://cloud.google.com/terms)",
  installed_bytes: 1.1e9,
} as const;

/** The script that compiles a module. It runs in the environment that `tools/xla/venv.mjs --tpu` creates. */
export const tpuScript = (): string => fileURLToPath(new URL("../../assets/backends/tpu.py", import.meta.url));

const bytes = z.number().nonnegative();
const resultSchema = z.object({
  compiler: z.string(),
  topology: z.string(),
  slices: z.number(),
  devices: z.number(),
  compile_s: z.number(),
  memory: z.object({ arguments: bytes, outputs: bytes, aliased: bytes, temporary: bytes, code: bytes }).optional(),
  collectives: z.array(z.object({ op: z.string(), axes: z.array(z.string()), bytes: z.number(), name: z.string() })).optional(),
  cycles: z.array(z.object({ name: z.string(), op: z.string(), cycles: z.number() })).optional(),
  does_not_fit: z
    .object({ used: bytes, limit: bytes, buffers: z.array(z.object({ bytes, name: z.string(), shape: z.string() })) })
    .optional(),
});
/** The output of the compiler for one module, for one chip. */
export type TpuResult = z.infer<typeof resultSchema>;

/** @param json the output of `backends/tpu.py` */
export const parseTpuResult = (json: string): TpuResult => resultSchema.parse(JSON.parse(json));

/** The topology name of libtpu: the chip and the slice of each pod, such as `v5e:16x16`. */
export const topologyName = (chip: string, slice: string): string => `${chip}:${slice}`;

export interface ComparedCollective {
  readonly op: string;
  /** Mesh axes joined by `+`. */
  readonly axis: string;
  /** In the TPU compiler's program. */
  readonly count: number;
  readonly bytes_per_chip: number;
  /** In the program of Lapidary. */
  readonly plan_count: number;
  readonly plan_bytes_per_chip: number;
}

/** Compares the collectives of the compiler's program with those of Lapidary's, most bytes first. */
export function compareTpuCollectives(program: Program, result: TpuResult): ComparedCollective[] {
  const rows = new Map<string, { count: number; bytes: number; planCount: number; planBytes: number }>();
  const row = (op: string, axis: string): { count: number; bytes: number; planCount: number; planBytes: number } => {
    const key = `${op} ${axis}`;
    const found = rows.get(key) ?? { count: 0, bytes: 0, planCount: 0, planBytes: 0 };
    rows.set(key, found);
    return found;
  };
  for (const { op, axes, bytes: sent } of result.collectives ?? []) {
    const found = row(op, axes.join("+"));
    found.count++;
    found.bytes += sent;
  }
  for (const { op, axis, count, bytes_per_chip } of summarizeCollectives(program.chip)) {
    const found = row(op, axis);
    found.planCount += count;
    found.planBytes += bytes_per_chip;
  }
  return [...rows]
    .map(([key, { count, bytes: sent, planCount, planBytes }]) => {
      const [op = "", axis = ""] = key.split(" ");
      return { op, axis, count, bytes_per_chip: sent, plan_count: planCount, plan_bytes_per_chip: planBytes };
    })
    .sort((a, b) => Math.max(b.bytes_per_chip, b.plan_bytes_per_chip) - Math.max(a.bytes_per_chip, a.plan_bytes_per_chip));
}

export interface ComparedCycles {
  /** A part of the model, added over all layers: `layers.*.attn`, `logits`. */
  readonly name: string;
  readonly phase: Phase | "other";
  /** Cycles of one chip in a step, as the TPU compiler estimates its kernels. */
  readonly xla: number;
  /** Cycles of Lapidary's program, as the simulator estimates them. */
  readonly plan: number;
}

/** A kernel of Lapidary's program, and its simulated time. */
export interface TimedKernel {
  readonly name: string;
  readonly scope: Scope;
  readonly role?: ValueRole | undefined;
  readonly cycles: number;
}

/**
 * Estimated cycles by part of the model and pass. The kernels of both sides differ, so cycles are added over a part. Operations that the compiler
 * adds itself (copies, index arithmetic) have no name of Lapidary and count as `compiler`.
 *
 * @param graph the graph whose module was compiled
 */
export function compareCycles(graph: Graph, result: TpuResult, kernels: readonly TimedKernel[]): ComparedCycles[] {
  const rows = new Map<string, { xla: number; plan: number }>();
  const add = (name: string, phase: ComparedCycles["phase"], side: "xla" | "plan", cycles: number): void => {
    const key = `${phase} ${name}`;
    const found = rows.get(key) ?? { xla: 0, plan: 0 };
    found[side] += cycles;
    rows.set(key, found);
  };
  for (const { name, cycles } of result.cycles ?? []) {
    const id = /#(\d+)$/.exec(name)?.[1];
    const value = id === undefined ? undefined : graph.values[Number(id)];
    const named = value ?? graph.values.find((one) => one.op === "parameter" && one.attrs.name === name.replace(/^call\.\d+\//, ""));
    if (named === undefined) add("compiler", "other", "xla", cycles);
    else add(partOfModel(named), named.scope.phase, "xla", cycles);
  }
  for (const kernel of kernels) add(partOfModel(kernel), kernel.scope.phase, "plan", kernel.cycles);
  return [...rows]
    .map(([key, { xla, plan }]) => {
      const at = key.indexOf(" ");
      return { name: key.slice(at + 1), phase: key.slice(0, at) as ComparedCycles["phase"], xla, plan };
    })
    .sort((a, b) => Math.max(b.xla, b.plan) - Math.max(a.xla, a.plan));
}

/** The label of a row: `layers.*.attn` of what a block computes, the first part of the name outside of blocks, `weights` and `update`. */
function partOfModel({ name, scope, role }: Pick<TimedKernel, "name" | "scope" | "role">): string {
  if (role === "param" || role === "gradient" || role === "optimizer") return "weights";
  if (scope.phase === "update") return "update";
  const path = primalName({ name, scope }).split(".");
  const at = scope.block === undefined ? -1 : path.indexOf(String(scope.block));
  return at < 0 ? (path[0] ?? name) : [...path.slice(0, at), "*", path[at + 1] ?? ""].join(".");
}
