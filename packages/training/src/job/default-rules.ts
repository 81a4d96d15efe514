import { logicalAxes, type ParamSpec } from "@lapidary/models";
import { LapidaryError, ensure, suggest } from "@lapidary/std";
import { axisAtoms, atomsSize, type Mesh, printMesh } from "@lapidary/topology";
import { axisMeaning, isKnownAxis, podAxis } from "./axis-names.js";
import type { JobFile } from "./job-schema.js";
import type { StrategyFile } from "./strategy-file.js";
import type { ConfigSource } from "./config-source.js";

/** The default mesh axes of each logical axis. Axes that the mesh lacks are ignored. */
const defaults: Readonly<Record<string, readonly string[]>> = {
  batch: [podAxis, "data", "expert"],
  seq: ["context"],
  activation_seq: ["context"],
  experts: ["expert"],
  expert_batch: [podAxis, "data"],
  exchanged_heads: ["model", "context"],
  stages: ["stage"],
  pipeline_seq: ["context", "stage"],
  heads: ["model"],
  kv_heads: ["model"],
  mlp: ["model"],
  vocab: ["model"],
};

/**
 * The rules of a job without rules: an entry for every logical axis. If no sub-axis divides a dim (3 heads over model=4), the dim stays whole.
 * If a sub-axis divides it, the compiler splits by that sub-axis.
 */
export function defaultRules(mesh: Mesh, params: readonly ParamSpec[]): Record<string, string[]> {
  const units = unitsOfParams(params);
  return Object.fromEntries(logicalAxes.map((logical) => [logical, defaultRule(logical, mesh, units).applied]));
}

/** The number of units of each dim, by logical axis. */
export type Units = ReadonlyMap<string, readonly number[]>;

/** A rule that may be dropped: the axes that apply, and the axes that the dims or the mesh do not allow. */
interface OptionalRule {
  readonly applied: string[];
  readonly unapplied: string[];
}

function defaultRule(logical: string, mesh: Mesh, units: Units): OptionalRule {
  const has = (defaults[logical] ?? []).filter((axis) => hasAxis(mesh, axis));
  const splits = (axis: string): boolean => (units.get(logical) ?? []).every((n) => n % firstFactor(mesh, [axis]) === 0);
  return { applied: has.filter(splits), unapplied: has.filter((axis) => !canSplit([axis], mesh, units.get(logical))) };
}

/** A rule of a strategy names `pod`, `data` and `model`; a mesh may lack some of them. */
function strategyRule(logical: string, axes: readonly string[], mesh: Mesh, units: Units): OptionalRule {
  const has = axes.filter((axis) => hasAxis(mesh, axis));
  if (!canSplit(has, mesh, units.get(logical))) return { applied: [], unapplied: has };
  // Without a data axis the batch is whole. Other findings report the consequences.
  const isMissing = has.length === 0 && logical !== "batch" && axes.some((axis) => axis !== podAxis);
  return { applied: has, unapplied: isMissing ? [...axes] : [] };
}

const hasAxis = (mesh: Mesh, axis: string): boolean => mesh.axes.some(({ name }) => name === axis);

/** The most major prime factor of the axes. If it does not divide a dim, no sub-axis splits the dim. */
function firstFactor(mesh: Mesh, axes: readonly string[]): number {
  const [first] = axes.flatMap((axis) => axisAtoms(mesh, axis));
  return first === undefined ? 1 : ensure(mesh.atoms[first], "sub-axis").size;
}

/** A dim of one unit is whole on any mesh. An example is the only key head of multi-query attention. */
const canSplit = (axes: readonly string[], mesh: Mesh, units: readonly number[] = []): boolean =>
  units.every((n) => n === 1 || n % firstFactor(mesh, axes) === 0);

export function unitsOfParams(params: readonly ParamSpec[]): Map<string, number[]> {
  const units = new Map<string, number[]>();
  for (const { dims, logicalAxes } of params)
    logicalAxes.forEach((text, d) => {
      const [logical = "", count] = (text ?? "").split("/");
      units.set(logical, [...(units.get(logical) ?? []), count === undefined ? ensure(dims[d], "dim") : Number(count)]);
    });
  return units;
}

export interface RuleSources {
  /** The rules of the job file. */
  readonly own: JobFile["rules"];
  /** The rules that were not applied when the job was resolved before. */
  readonly unapplied: JobFile["unapplied"];
  readonly strategy: (StrategyFile & { readonly name: string }) | undefined;
  /** The logical axes of the job's programs: the others get no rule, unless the job gives one. */
  readonly used: readonly string[];
}

type OptionalPart = "experts" | "heads" | "stages";

/** The logical axes that occur only with experts, if attention exchanges heads, or with stages of a pipeline. */
const optionalAxes: Readonly<Record<string, OptionalPart>> = {
  experts: "experts",
  expert_batch: "experts",
  exchanged_heads: "heads",
  stages: "stages",
  pipeline_seq: "stages",
};

/** The logical axes of the programs of a model with these parts. */
export const usedAxes = (has: Readonly<Record<OptionalPart, boolean>>): string[] =>
  logicalAxes.filter((axis) => {
    const part = optionalAxes[axis];
    return part === undefined || has[part];
  });

export interface ResolvedRules {
  /** An entry for every logical axis that is used. */
  readonly rules: Record<string, string[]>;
  /** Rules of a strategy or of the defaults that are not applied. */
  readonly unapplied: Record<string, string[]>;
}

/**
 * Merges the rules of a job, of its strategy and the defaults, in this order of precedence. The job's own rules must apply. The others are dropped if
 * the mesh lacks their axes or no sub-axis divides the dims.
 *
 * @throws LapidaryError for logical axes that no tensor has, mesh axes that the mesh lacks, and own rules without effect
 */
export function resolveRules(
  { own, unapplied: before = {}, strategy, used }: RuleSources,
  mesh: Mesh,
  units: Units,
  source: ConfigSource,
): ResolvedRules {
  const ofStrategy = strategy?.rules ?? {};
  for (const logical of Object.keys(ofStrategy)) checkStrategyRule(logical, strategy?.name ?? "", ofStrategy[logical], mesh, source);
  for (const logical of Object.keys(before)) checkLogical(logical, source.locationOf(["unapplied", logical]));
  for (const logical of Object.keys(own)) checkOwnRule(logical, own[logical], mesh, units, source);
  const rules: Record<string, string[]> = {};
  const unapplied: Record<string, string[]> = {};
  for (const logical of logicalAxes) {
    if (!used.includes(logical) && !Object.hasOwn(own, logical)) continue;
    if (Object.hasOwn(own, logical)) {
      rules[logical] = axesOf(own[logical]);
      continue;
    }
    const given = Object.hasOwn(before, logical) ? before[logical] : Object.hasOwn(ofStrategy, logical) ? ofStrategy[logical] : undefined;
    const rule = given === undefined ? defaultRule(logical, mesh, units) : strategyRule(logical, axesOf(given), mesh, units);
    rules[logical] = rule.applied;
    if (rule.unapplied.length > 0) unapplied[logical] = rule.unapplied;
  }
  return { rules, unapplied };
}

const axesOf = (rule: JobFile["rules"][string] | undefined): string[] => (rule === null || rule === undefined ? [] : [rule].flat());

function checkStrategyRule(
  logical: string,
  strategy: string,
  rule: JobFile["rules"][string] | undefined,
  mesh: Mesh,
  source: ConfigSource,
): void {
  const place = source.locationOf(["strategy"]);
  checkLogical(logical, place);
  for (const axis of axesOf(rule))
    if (!hasAxis(mesh, axis) && !isKnownAxis(axis))
      throw unknownAxis(axis, mesh, place, `rule ${logical} of the strategy ${strategy} names the mesh axis "${axis}"`);
}

function checkOwnRule(logical: string, rule: JobFile["rules"][string] | undefined, mesh: Mesh, units: Units, source: ConfigSource): void {
  const location = source.locationOf(["rules", logical]);
  checkLogical(logical, location);
  const axes = axesOf(rule);
  for (const axis of axes)
    if (!hasAxis(mesh, axis)) throw unknownAxis(axis, mesh, location, `the rule for ${logical} names the mesh axis "${axis}"`);
  if (new Set(axes).size !== axes.length)
    throw new LapidaryError({
      code: "LAP_RULE_AXIS_TWICE",
      message: `the rule for ${logical} names a mesh axis twice`,
      location,
      remedy: "name each mesh axis once",
    });
  const indivisible = (units.get(logical) ?? []).find((n) => !canSplit(axes, mesh, [n]));
  if (indivisible === undefined) return;
  const parts = atomsSize(
    mesh,
    axes.flatMap((axis) => axisAtoms(mesh, axis)),
  );
  throw new LapidaryError({
    code: "LAP_MESH_INDIVISIBLE",
    message: `the rule ${logical} → ${axes.join("+")} has no effect: ${indivisible} is not divisible by any sub-axis of ${axes.join("×")} = ${parts}`,
    location,
    remedy: `use a size of ${Math.ceil(indivisible / parts) * parts}, or another mesh; set rules.${logical} to null to keep the dim whole`,
  });
}

function checkLogical(logical: string, location: string): void {
  if ((logicalAxes as readonly string[]).includes(logical)) return;
  const near = suggest(logical, logicalAxes);
  throw new LapidaryError({
    code: "LAP_RULE_UNKNOWN",
    message: `no tensor has a logical axis "${logical}"`,
    location,
    remedy: near === undefined ? `logical axes are ${logicalAxes.join(", ")}` : `did you mean "${near}"?`,
  });
}

function unknownAxis(axis: string, mesh: Mesh, location: string, what: string): LapidaryError {
  const names = mesh.axes.map(({ name }) => name);
  const meaning = axisMeaning(axis)?.axis;
  const near = suggest(axis, names) ?? names.find((name) => name === meaning || axisMeaning(name)?.axis === meaning);
  const named =
    near !== undefined
      ? `did you mean "${near}"?`
      : meaning !== undefined
        ? `add the axis "${meaning}" to the mesh and name it here`
        : "name one of the mesh's axes";
  return new LapidaryError({
    code: "LAP_MESH_AXIS_UNKNOWN",
    message: `${what}: the mesh has no such axis (it has ${printMesh(mesh) || "none"})`,
    location,
    remedy: named,
  });
}
