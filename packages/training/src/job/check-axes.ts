import { LapidaryError, counted } from "@lapidary/std";
import { type MeshAxis, makeMesh, printMesh } from "@lapidary/topology";
import { type AxisMeaning, axisMeaning, isKnownAxis, knownAxes, podAxis } from "./axis-names.js";
import { meshOf, type ResolvedJob } from "./resolved-job.js";
import type { ConfigSource } from "./config-source.js";

/**
 * Rejects mesh axes that no rule, no default rule and no ZeRO stage uses. (A ZeRO stage splits over the axes of the batch.) Chips along such an axis
 * compute the same. A job that needs such copies lists the axis under `replicate`.
 */
export function checkAxes(job: ResolvedJob, source: ConfigSource): void {
  checkReplicate(job, source);
  const ruled = new Set(Object.values(job.rules).flat());
  const unknown = job.mesh.filter(
    ({ name, size }) => size > 1 && !isKnownAxis(name) && !ruled.has(name) && !(job.replicate ?? []).includes(name),
  );
  const [first] = unknown;
  if (first === undefined) return;
  const names = unknown.map(({ name, size }) => `"${name}" (${counted(size, "chip")})`).join(" and ");
  throw new LapidaryError({
    code: "LAP_MESH_AXIS_UNKNOWN",
    message: `no rule and no ZeRO stage uses the mesh ${unknown.length === 1 ? "axis" : "axes"} ${names}: all chips along ${unknown.length === 1 ? "it" : "them"} would store and compute the same`,
    location: source.locationOf(["mesh", first.name]),
    remedy: remedyFor(job, unknown),
  });
}

function checkReplicate({ replicate = [], rules, mesh }: ResolvedJob, source: ConfigSource): void {
  for (const name of replicate) {
    const location = source.locationOf(["replicate"]);
    if (!mesh.some((axis) => axis.name === name))
      throw new LapidaryError({
        code: "LAP_MESH_AXIS_UNKNOWN",
        message: `the mesh has no axis "${name}", which replicate names (it has ${printMesh(makeMesh(mesh))})`,
        location,
        remedy: "name an axis of the mesh, or remove it from replicate",
      });
    const [logical] = Object.entries(rules).find(([, axes]) => axes.includes(name)) ?? [];
    if (logical !== undefined)
      throw new LapidaryError({
        code: "LAP_MESH_REPLICATE",
        message: `the rule ${logical} → ${rules[logical]?.join("+") ?? name} splits over ${name}, but replicate lists ${name}`,
        location,
        remedy: `remove ${name} from replicate, or from the rule: rules.${logical}`,
      });
  }
}

/** The names that Lapidary uses, other settings that the job needs, and the way to allow copies. */
function remedyFor(job: ResolvedJob, unknown: readonly MeshAxis[]): string {
  const meanings = unknown.map(({ name }) => [name, axisMeaning(name)] as const);
  const meant = `list it under \`replicate\` if copies are intended: replicate=[${unknown.map(({ name }) => name).join(", ")}]`;
  const unknownName = meanings.find(([, meaning]) => meaning === undefined);
  if (unknownName !== undefined)
    return `axes that the default rules know are ${knownAxes.join(", ")}: use these, or name ${unknownName[0]} in a rule, such as rules.batch=[${unknownName[0]}]; ${meant}`;
  const named = meanings.map(([name, meaning]) => `${name} is "${meaning?.axis ?? ""}"`).join(", ");
  const notes = [...new Set(meanings.flatMap(([name, meaning]) => noteOf(job, name, meaning)))];
  return [`in Lapidary, ${named}: ${renamed(job, new Map(meanings))}`, ...notes, meant].join("; ");
}

function noteOf({ zero, rules }: ResolvedJob, name: string, meaning: AxisMeaning | undefined): string[] {
  const note = meaning?.note;
  if (note === undefined) return [];
  if (meaning?.needs === "zero3" && zero === 3) return [];
  if (meaning?.needs === "activationRule" && (rules["activation_seq"] ?? []).length > 0) return [];
  return [`for ${name}: ${note}`];
}

/** `mesh={data: 256}`: the mesh with the names that Lapidary uses. Axes that get the same name are merged. */
function renamed(job: ResolvedJob, meanings: ReadonlyMap<string, AxisMeaning | undefined>): string {
  const sizes = new Map<string, number>();
  for (const { name, size } of job.mesh) {
    const known = meanings.get(name)?.axis ?? name;
    // A job on one pod has no pod axis.
    const axis = known === podAxis && job.pods === 1 ? "data" : known;
    sizes.set(axis, (sizes.get(axis) ?? 1) * size);
  }
  const mesh = `mesh={${[...sizes]
    .sort(byOrder)
    .map(([name, size]) => `${name}: ${size}`)
    .join(", ")}}`;
  const rows = (sizes.get("data") ?? 1) * (sizes.get(podAxis) ?? 1);
  if (job.train.batch % rows === 0) return mesh;
  return `${mesh}, with a train.batch that is a multiple of ${rows}, or with part of these chips on "model"`;
}

const order: readonly string[] = knownAxes;
/** Known axes come first, in the order of `knownAxes`. Other axes keep their order. */
const byOrder = ([a]: readonly [string, number], [b]: readonly [string, number]): number =>
  (order.includes(a) ? order.indexOf(a) : order.length) - (order.includes(b) ? order.indexOf(b) : order.length);

/** An override that moves the chips of the axis `idle` to another axis. */
export function meshWithout(job: ResolvedJob, idle: string, onto: string): string {
  const size = meshOf(job).axes.find(({ name }) => name === idle)?.size ?? 1;
  const axes = job.mesh.filter(({ name }) => name !== idle);
  const known = axes.some(({ name }) => name === onto);
  const all = known
    ? axes.map((axis) => (axis.name === onto ? { ...axis, size: axis.size * size } : axis))
    : [...axes, { name: onto, size }];
  return `mesh={${all.map(({ name, size: n }) => `${name}: ${n}`).join(", ")}}`;
}
