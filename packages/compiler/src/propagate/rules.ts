import { LapidaryError, assert, ensure, suggest } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, atomsSize, axisAtoms } from "@lapidary/topology";
import type { Value, ValueRole } from "@lapidary/ir";

/** Logical axis → mesh axes, major to minor; null or absent: replicated. The field `rules` of a job file. */
export type LogicalAxisRules = Readonly<Record<string, readonly string[] | string | null>>;

/** ZeRO as shardings: the roles that are split over `axes` in addition to the rules. */
export interface ZeroOptions {
  /** 0 nothing · 1 optimizer state · 2 and gradients · 3 and parameters. */
  readonly stage: 0 | 1 | 2 | 3;
  /** The data axes, major to minor. */
  readonly axes: readonly string[];
}

/**
 * Order in which axes claim factors: claims with a lower number are settled first.
 *
 * - `given`: constraints that name a value, and the op `constrain`;
 * - `batch`: the batch keeps `data` in every matmul, although ZeRO also splits the weights over `data`;
 * - `rule`: heads, mlp and vocab keep `model` in the matmuls of a block;
 * - `activation`: a rule on the residual stream decides its sharding between the matmuls (sequence parallelism);
 * - `zero`: ZeRO claims the axes that are left.
 */
export const Priority = { given: -1, batch: 0, rule: 1, activation: 2, zero: 3 } as const;
export type Priority = (typeof Priority)[keyof typeof Priority];

/** Sub-axes that a rule or ZeRO puts on a dim of a value. */
export interface Seed {
  readonly atoms: readonly AtomId[];
  readonly priority: Priority;
  readonly cause: string;
  /** The requested atoms, of which `atoms` are those that divide the dim. */
  readonly wanted?: readonly AtomId[];
  /** The number that `wanted` must divide: 16 for the logical axis `heads/16`. By default the size of the dim. */
  readonly units?: number;
  /** The logical axis of the rule; absent for ZeRO. */
  readonly logical?: string;
  /** The rule that has the wanted axis already, on another dim of the same value. */
  readonly holder?: string;
}

/** Rules by logical axis, in two groups: applied rules, and rules that were omitted because no part of their axes divides the dims. */
export interface RuleSet {
  readonly rules: LogicalAxisRules;
  readonly undivided?: LogicalAxisRules | undefined;
}

/** A logical axis may contain the number of units of its dim: `heads/16` is split into at most 16 parts. */
export function parseLogicalAxis(axis: string, size: number): { name: string; units: number } {
  const [name, units] = axis.split("/");
  return { name: ensure(name, "logical axis"), units: units === undefined ? size : Number(units) };
}

/** The longest prefix of `atoms` that divides `size`. */
function dividingPrefix(mesh: Mesh, atoms: readonly AtomId[], size: number): AtomId[] {
  const taken: AtomId[] = [];
  let rest = size;
  for (const id of atoms) {
    const atom = atomOf(mesh, id).size;
    if (rest % atom !== 0) break;
    taken.push(id);
    rest /= atom;
  }
  return taken;
}

const axesOf = (rule: readonly string[] | string | null | undefined): readonly string[] =>
  rule === null || rule === undefined ? [] : typeof rule === "string" ? [rule] : rule;

/** Rejects rules that name unknown axes, or logical axes that are not in `known`, unless `known` is empty. */
export function checkRules(mesh: Mesh, rules: LogicalAxisRules, known: ReadonlySet<string>): void {
  for (const [name, rule] of Object.entries(rules)) {
    for (const axis of axesOf(rule)) axisAtoms(mesh, axis, `rules.${name}`);
    if (new Set(axesOf(rule)).size !== axesOf(rule).length)
      throw new LapidaryError({
        code: "LAP_RULE_AXIS_TWICE",
        message: `the rule for ${name} names a mesh axis twice`,
        location: `rules.${name}`,
        remedy: "name each mesh axis once",
      });
    if (known.size > 0 && !known.has(name)) {
      const near = suggest(name, known);
      throw new LapidaryError({
        code: "LAP_RULE_UNKNOWN",
        message: `no tensor has a logical axis "${name}"`,
        location: `rules.${name}`,
        remedy: near === undefined ? `logical axes are ${[...known].join(", ")}` : `did you mean "${near}"?`,
      });
    }
  }
}

/**
 * The seeds of a value's dims by the rules. If the axes of a rule do not divide a dim, the dividing part splits it (a sub-axis),
 * and the rest replicates. A rule on an axis of parameters applies only to parameters, and propagation decides the sharding of
 * computed values. A rule on an axis of activations only (`seq`) is a constraint on these. A batch that does not divide is
 * rejected, because chips would compute the same.
 *
 * If `wanted` of a seed is longer than its `atoms`, the rule has a part of its effect or none: `findShortfalls` reports it.
 */
export function seedsOfRules(
  mesh: Mesh,
  { rules, undivided = {} }: RuleSet,
  value: Value,
  ofParameters: ReadonlySet<string>,
): (Seed | undefined)[] {
  const isConstrained = value.op === "constrain";
  const axes = (isConstrained ? value.attrs.logicalAxes : value.logicalAxes) ?? [];
  const used = new Map<AtomId, string>();
  const isParameter = value.op === "parameter" || value.role === "gradient" || value.role === "gathered";
  const atomsOf = (name: string): AtomId[] => axesOf(rules[name]).flatMap((axis) => axisAtoms(mesh, axis, `rules.${name}`));
  const names = axes.map((logical, d) =>
    logical === null ? undefined : parseLogicalAxis(logical, ensure(value.type.dims[d], "dim")).name,
  );
  return axes.map((logical, d) => {
    if (logical === null) return undefined;
    const size = ensure(value.type.dims[d], "dim");
    const { name, units } = parseLogicalAxis(logical, size);
    if (!isParameter && !isConstrained && ofParameters.has(name)) return undefined;
    const wanted = atomsOf(name);
    if (wanted.length === 0 && isConstrained) return undefined;
    if (wanted.length === 0) return undividedSeed(mesh, undivided[name], name, units, isParameter);
    for (const id of wanted) {
      const other = used.get(id);
      if (other !== undefined)
        throw new LapidaryError({
          code: "LAP_RULE_AXIS_TWICE",
          message: `the rules split both ${other} and ${name} of ${value.name} over ${atomOf(mesh, id).axis}`,
          location: `rules.${name}`,
          remedy: "a mesh axis can split one dim of a tensor only: change one of the two rules",
        });
      used.set(id, name);
    }
    const atoms = dividingPrefix(mesh, wanted, units);
    const isBatch = value.role === "batch" && name === "batch";
    if (isBatch && atoms.length < wanted.length) {
      const needed = atomsSize(mesh, wanted);
      const near = Math.max(needed, Math.round(size / needed) * needed);
      throw new LapidaryError({
        code: "LAP_MESH_INDIVISIBLE",
        message: `the batch of ${size} does not divide over ${axesOf(rules[name]).join("×")} = ${needed}`,
        location: `${value.name} dim ${d} (${name})`,
        remedy: `use a batch of ${near}, or another mesh`,
      });
    }
    if (atoms.length === 0 && units > 1) throw indivisible(mesh, value, d, name, units, axesOf(rules[name]));
    if (atoms.length === 0) return undefined;
    // On an activation the batch keeps its axes: it claims them first.
    const holder =
      isParameter || isConstrained
        ? undefined
        : names.find((other) => other !== undefined && ofParameters.has(other) && atomsOf(other).some((id) => atoms.includes(id)));
    return {
      atoms,
      priority: isConstrained ? Priority.given : isBatch ? Priority.batch : isParameter ? Priority.rule : Priority.activation,
      cause: ruleText(name, axesOf(rules[name])),
      wanted,
      units,
      logical: name,
      ...(holder === undefined ? {} : { holder: ruleText(holder, axesOf(rules[holder])) }),
    };
  });
}

const ruleText = (name: string, axes: readonly string[]): string => `rule ${name} → ${axes.join("+")}`;

/** The seed of an omitted rule: it splits nothing, but contains the request. A dim of one unit has no request. */
function undividedSeed(
  mesh: Mesh,
  rule: readonly string[] | string | null | undefined,
  logical: string,
  units: number,
  isParameter: boolean,
): Seed | undefined {
  const wanted = axesOf(rule).flatMap((axis) => axisAtoms(mesh, axis));
  if (wanted.length === 0 || units === 1) return undefined;
  const priority = isParameter ? Priority.rule : Priority.activation;
  return { atoms: [], priority, cause: ruleText(logical, axesOf(rule)), wanted, units, logical };
}

/** The error for a rule if no part of its axes divides the dim: all chips of the axis would compute the same. */
function indivisible(mesh: Mesh, value: Value, d: number, logical: string, units: number, axes: readonly string[]): LapidaryError {
  const size = atomsSize(
    mesh,
    axes.flatMap((axis) => axisAtoms(mesh, axis)),
  );
  const near = Array.from({ length: units }, (_, i) => i + 1)
    .filter((n) => units % n === 0)
    .reduce((best, n) => (Math.abs(n - size) < Math.abs(best - size) ? n : best), 1);
  return new LapidaryError({
    code: "LAP_MESH_INDIVISIBLE",
    message: `no part of ${axes.join("×")} = ${size} divides the ${units} ${logical} of ${value.name}`,
    location: `${value.name} dim ${d} (${logical})`,
    remedy: `make ${axes.at(-1) ?? "the axis"} a divisor of ${units} such as ${near}, or set rules.${logical} to null`,
  });
}

/** The first stage that splits a role over the data axes. */
const zeroStage: Readonly<Partial<Record<ValueRole, number>>> = { optimizer: 1, gradient: 2, param: 3 };

/**
 * The seeds of ZeRO. It splits the largest dim that all data atoms divide. If they divide none, each dim is split by the atoms
 * that divide it, in order of size, and the rest replicates. The size of a dim is that after the rules.
 *
 * @param placed atoms of each dim by the rules
 */
export function seedsOfZero(mesh: Mesh, zero: ZeroOptions, value: Value, placed: readonly (readonly AtomId[])[]): (Seed | undefined)[] {
  const stage = value.role === undefined ? undefined : zeroStage[value.role];
  const none = value.type.dims.map(() => undefined);
  if (stage === undefined || zero.stage < stage) return none;
  const atoms = zero.axes.flatMap((axis) => axisAtoms(mesh, axis, "zero")).filter((id) => !placed.some((on) => on.includes(id)));
  const left = value.type.dims.map((size, d) => size / atomsSize(mesh, placed[d] ?? []));
  const order = left
    .map((_, d) => d)
    .sort((a, b) => (left[b] ?? 0) - (left[a] ?? 0) || (placed[a]?.length ?? 0) - (placed[b]?.length ?? 0));
  const cause = `ZeRO-${zero.stage} (${value.role === "optimizer" ? "optimizer state" : `${value.role}s`} → ${zero.axes.join("+")})`;
  const whole = order.find((d) => (left[d] ?? 0) % atomsSize(mesh, atoms) === 0);
  const seeds: (Seed | undefined)[] = [...none];
  let rest = atoms;
  for (const d of whole === undefined ? order : [whole]) {
    const taken = dividingPrefix(mesh, rest, left[d] ?? 1);
    if (taken.length > 0) seeds[d] = { atoms: taken, priority: Priority.zero, cause };
    rest = rest.filter((id) => !taken.includes(id));
  }
  const [largest] = order;
  if (rest.length > 0 && largest !== undefined)
    seeds[largest] = { priority: Priority.zero, cause, atoms: [], ...seeds[largest], wanted: atoms, units: ensure(left[largest], "dim") };
  assert(seeds.length === value.type.dims.length, "one seed per dim");
  return seeds;
}
