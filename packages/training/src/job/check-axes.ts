import { LapidaryError, counted } from "@lapidary/std";
import { type MeshAxis, makeMesh, printMesh } from "@lapidary/topology";
import { type AxisMeaning, axisMeaning, isKnownAxis, knownAxes, podAxis } from "./axis-names.js";
import { meshOf, type ResolvedJob } from "./resolved-job.js";
import type { ConfigSource } from "./config-source.js";

/**
 * Refuses mesh axes that nothing can use: neither a rule, nor the default rules, nor a ZeRO stage (which splits over the axes of the batch) knows their
 * names. Chips along such an axis would all do the same. A job that wants that lists the axis under `replicate`.
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
    message: `no rule and no ZeRO stage knows the mesh ${unknown.length === 1 ? "axis" : "axes"} ${names}: all chips along ${unknown.length === 1 ? "it" : "them"} would hold and compute the same`,
    place: source.placeOf(["mesh", first.name]),
    remedy: remedyFor(job, unknown),
  });
}

function checkReplicate({ replicate = [], rules, mesh }: ResolvedJob, source: ConfigSource): void {
  for (const name of replicate) {
    const place = source.placeOf(["replicate"]);
    if (!mesh.some((axis) => axis.name === name))
      throw new LapidaryError({
        code: "LAP_MESH_AXIS_UNKNOWN",
        message: `replicate names the axis "${name}", and the mesh has no such axis (it has ${printMesh(makeMesh(mesh))})`,
        place,
        remedy: "name an axis of the mesh, or remove it from replicate",
      });
    const [logical] = Object.entries(rules).find(([, axes]) => axes.includes(name)) ?? [];
    if (logical !== undefined)
      throw new LapidaryError({
        code: "LAP_MESH_REPLICATE",
        message: `the rule ${logical} → ${rules[logical]?.join("+") ?? name} splits over ${name}, and replicate says that ${name} holds copies`,
        place,
        remedy: `remove ${name} from replicate, or from the rule: rules.${logical}`,
      });
  }
}

/** Our names in place of those, with what else the job needs; and how to say that copies are meant. */
function remedyFor(job: ResolvedJob, unknown: readonly MeshAxis[]): string {
  const meanings = unknown.map(({ name }) => [name, axisMeaning(name)] as const);
  const meant = `list it under \`replicate\` if copies are meant: replicate=[${unknown.map(({ name }) => name).join(", ")}]`;
  const lost = meanings.find(([, meaning]) => meaning === undefined);
  if (lost !== undefined)
    return `axes that the default rules know are ${knownAxes.join(", ")}: use these, or name ${lost[0]} in a rule, such as rules.batch=[${lost[0]}]; ${meant}`;
  const named = meanings.map(([name, meaning]) => `${name} is "${meaning?.axis ?? ""}" here`).join(", ");
  const notes = [...new Set(meanings.flatMap(([name, meaning]) => noteOf(job, name, meaning)))];
  return [`${named}: ${renamed(job, new Map(meanings))}`, ...notes, meant].join("; ");
}

function noteOf({ zero, rules }: ResolvedJob, name: string, meaning: AxisMeaning | undefined): string[] {
  const note = meaning?.note;
  if (note === undefined) return [];
  if (meaning?.needs === "zero3" && zero === 3) return [];
  if (meaning?.needs === "activationRule" && (rules["activation_seq"] ?? []).length > 0) return [];
  return [`for ${name}: ${note}`];
}

/** `mesh={data: 256}`: the mesh with our names, axes of one name joined. */
function renamed(job: ResolvedJob, meanings: ReadonlyMap<string, AxisMeaning | undefined>): string {
  const sizes = new Map<string, number>();
  for (const { name, size } of job.mesh) {
    const ours = meanings.get(name)?.axis ?? name;
    // One pod has no axis over pods.
    const axis = ours === podAxis && job.pods === 1 ? "data" : ours;
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
/** Pods first; other axes keep their order behind those we know. */
const byOrder = ([a]: readonly [string, number], [b]: readonly [string, number]): number =>
  (order.includes(a) ? order.indexOf(a) : order.length) - (order.includes(b) ? order.indexOf(b) : order.length);

/** The axes of a mesh with the chips of `idle` given to another axis, as an override. */
export function meshWithout(job: ResolvedJob, idle: string, onto: string): string {
  const size = meshOf(job).axes.find(({ name }) => name === idle)?.size ?? 1;
  const axes = job.mesh.filter(({ name }) => name !== idle);
  const known = axes.some(({ name }) => name === onto);
  const all = known
    ? axes.map((axis) => (axis.name === onto ? { ...axis, size: axis.size * size } : axis))
    : [...axes, { name: onto, size }];
  return `mesh={${all.map(({ name, size: n }) => `${name}: ${n}`).join(", ")}}`;
}
