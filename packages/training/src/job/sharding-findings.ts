import { dividingSize, findUnusedMesh, type Shortfall, shortfallReason } from "@lapidary/compiler";
import { bytesOf, type Graph, type Value } from "@lapidary/ir";
import { formatBytes, ensure, type Warning } from "@lapidary/std";
import { atomOf, atomsSize, type Mesh, type MeshAxis, printMesh } from "@lapidary/topology";
import { axisMeaning, isKnownAxis, type KnownAxis, podAxis } from "./axis-names.js";
import { meshWithout } from "./check-axes.js";
import { traceJob } from "./compile-job.js";
import { compileOptions, meshOf, type ResolvedJob, zeroOptions } from "./resolved-job.js";

/** Chips of a job that compute the same, and overrides that change this. */
export interface ShardingFinding {
  readonly warning: Warning;
  /** Axes of more than one chip that split no value. */
  readonly idle: readonly string[];
  /** Overrides of which each alone fixes the finding, best first. Some may not apply to the job file: a model that is given by name has no key to change. */
  readonly fixes: readonly string[];
}

/** The findings about a job as warnings. */
export const jobWarnings = (job: ResolvedJob): Warning[] => shardingFindings(job).map(({ warning }) => warning);

/**
 * Mesh axes that split nothing, and rules and ZeRO stages without their full effect. Reads the traced train step and compiles nothing.
 *
 * @throws LapidaryError for rules that contradict one another
 */
export function shardingFindings(job: ResolvedJob): ShardingFinding[] {
  const graph = traceJob(job);
  const { idle, shortfalls } = findUnusedMesh(graph, compileOptions(job, graph));
  const isIdle = (axis: string): boolean => idle.some(({ name }) => name === axis);
  const study: FindingsInput = { job, mesh: meshOf(job), graph, shortfalls };
  return [
    ...idle.map((axis) => idleAxis(study, axis)),
    ...ruleGroups(study)
      .filter((group) => !missingAxes(study.mesh, group).every(isIdle))
      .map((group) => ruleShortfall(study, group)),
    ...missingStrategyAxes(study),
    ...zeroWithoutAxis(study),
    ...zeroShortfall(study),
  ];
}

interface FindingsInput {
  readonly job: ResolvedJob;
  readonly mesh: Mesh;
  readonly graph: Graph;
  readonly shortfalls: readonly Shortfall[];
}

type Group = readonly [Shortfall, ...Shortfall[]];

/** Shortfalls of one rule, on all values that have its logical axis. */
function ruleGroups({ mesh, shortfalls }: FindingsInput): Group[] {
  const groups = new Map<string, [Shortfall, ...Shortfall[]]>();
  for (const each of shortfalls) {
    if (each.logical === undefined || isGroupedQuery(mesh, each)) continue;
    const known = groups.get(each.logical);
    if (known === undefined) groups.set(each.logical, [each]);
    else known.push(each);
  }
  return [...groups.values()];
}

/** Grouped attention on more chips than it has key heads: each chip has the one key head that its query heads read. This is the usual sharding. */
const isGroupedQuery = (mesh: Mesh, { logical, taken, units }: Shortfall): boolean =>
  logical === "kv_heads" && atomsSize(mesh, taken) === units;

/** Axes that a rule does not use fully. */
const missingAxes = (mesh: Mesh, [{ wanted, taken }]: Group): string[] => [
  ...new Set(wanted.filter((id) => !taken.includes(id)).map((id) => atomOf(mesh, id).axis)),
];

// ---- an axis that splits nothing ----

/** Logical axes that the default rules split over each mesh axis. */
const defaultRulesOfAxis: Readonly<Record<KnownAxis, readonly string[]>> = {
  pod: ["batch"],
  stage: ["stages"],
  data: ["batch"],
  expert: ["batch", "experts"],
  context: ["seq", "activation_seq"],
  model: ["heads", "kv_heads", "mlp", "vocab"],
};

function idleAxis(study: FindingsInput, { name, size }: MeshAxis): ShardingFinding {
  const { job, mesh } = study;
  const reasons = ruleGroups(study).filter((group) => missingAxes(mesh, group).includes(name));
  const isIntended = (job.replicate ?? []).includes(name);
  const why =
    reasons.length === 0
      ? `no rule${job.zero === 0 ? "" : " and no ZeRO stage"} names it${isIntended ? " (it is in replicate)" : ""}`
      : reasons.map(([first]) => `${first.logical ?? ""}: ${shortfallReason(mesh, first)}`).join("; ");
  const known = isKnownAxis(name) ? name : (axisMeaning(name)?.axis ?? "data");
  const rules = defaultRulesOfAxis[known].map((logical) => `${logical} → ${name}`).join(", ");
  const onto = name === "data" ? "model" : "data";
  const fix = name === podAxis ? undefined : meshWithout(job, name, onto);
  const useful = fix !== undefined && fitsBatch(job, name, size, onto) ? [fix] : [];
  const remedies = [
    ...(reasons.length === 0 ? [`split something over it: rules ${rules}`] : reasons.slice(0, 1).map((group) => sizeRemedy(study, group))),
    ...(isKnownAxis(name) || axisMeaning(name) === undefined ? [] : [`rename it to "${known}"`]),
    ...useful.map((override) => `give its chips to "${onto}": ${override}`),
    ...(isIntended ? [] : [`list it under \`replicate\` if copies are intended`]),
  ];
  return {
    warning: {
      code: "LAP_MESH_AXIS_IDLE",
      message: `the mesh axis ${name} splits nothing: its ${size} chips store and compute the same (${why})`,
      place: `mesh.${name}`,
      remedy: remedies.join("; or "),
    },
    idle: [name],
    fixes: useful,
  };
}

/** Whether the batch divides when `size` more chips are on the axis `onto`. */
function fitsBatch({ mesh, rules, train }: ResolvedJob, idle: string, size: number, onto: string): boolean {
  const axes = rules["batch"] ?? [];
  const rows = mesh.reduce((n, axis) => (axes.includes(axis.name) && axis.name !== idle ? n * axis.size : n), 1);
  return train.batch % (onto === "data" ? rows * size : rows) === 0;
}

// ---- a rule without its full effect ----

/** Keys of the job that decide the sizes of a logical axis. */
const sizeKeys: Readonly<Record<string, string>> = {
  batch: "train.batch",
  seq: "train.seq",
  activation_seq: "train.seq",
  vocab: "model.vocab_size",
  embed: "model.model_dim",
  norm: "model.model_dim",
  activation_embed: "model.model_dim",
  heads: "model.heads",
  kv_heads: "model.kv_heads",
  mlp: "model.mlp_dim",
};

function ruleShortfall(study: FindingsInput, group: Group): ShardingFinding {
  const { mesh } = study;
  const [first] = group;
  const { logical = "", cause, taken, holder } = first;
  const effect = taken.length === 0 ? "has no effect" : "has only part of its effect";
  const same = taken.length === 0 && holder === undefined ? `, so ${atomsSize(mesh, first.wanted)} chips store and compute all of it` : "";
  return {
    warning: {
      code: "LAP_RULE_INDIVISIBLE",
      message: `the ${cause} ${effect}: ${shortfallReason(mesh, first)}${same}${costOf(study, group)}`,
      place: `rules.${logical}`,
      remedy: [
        ...(holder === undefined ? [sizeRemedy(study, group)] : []),
        ...smallerAxis(study, group).map((override) => `use ${override}`),
        `set rules.${logical} to null to keep the dim whole`,
      ].join("; or "),
    },
    idle: [],
    fixes:
      holder === undefined
        ? [`${sizeKeys[logical] ?? logical}=${dividingSize(mesh, first)}`, ...smallerAxis(study, group)]
        : smallerAxis(study, group),
  };
}

function sizeRemedy({ mesh, job }: FindingsInput, [first]: Group): string {
  const { logical = "" } = first;
  const size = dividingSize(mesh, first);
  const key = sizeKeys[logical] ?? logical;
  const parts = atomsSize(mesh, first.wanted);
  if (key === "train.seq") {
    const fits = [size - parts, size].filter((n) => n > 0 && n <= job.model.config.contextLength);
    return `use ${key}=${fits.join(" or ") || size}, a multiple of ${parts}`;
  }
  const unusedRows =
    logical === "vocab"
      ? ` (the tokenizer keeps its ${job.data.vocab} ids with data.vocab=${job.data.vocab}; the other rows are never used)`
      : "";
  return `use ${key}=${size}, a multiple of ${parts}${unusedRows}`;
}

/** An override with the largest axis that divides the dim. It moves the other chips to `data`. */
function smallerAxis({ job, mesh }: FindingsInput, [{ wanted, taken, units }]: Group): string[] {
  const [axis, ...others] = new Set(wanted.map((id) => atomOf(mesh, id).axis));
  const data = job.mesh.find(({ name }) => name === "data");
  const whole = job.mesh.find(({ name }) => name === axis);
  if (taken.length === 0 || axis === undefined || axis === "data" || others.length > 0 || data === undefined || whole === undefined)
    return [];
  const size = atomsSize(mesh, taken);
  const rest = whole.size / size;
  if (units % size !== 0 || !fitsBatch(job, axis, rest, "data")) return [];
  return [`mesh={${job.mesh.map(({ name, size: n }) => `${name}: ${name === "data" ? n * rest : name === axis ? size : n}`).join(", ")}}`];
}

/** The extra memory of a chip compared with a rule that has its full effect. */
function costOf({ mesh, graph, job }: FindingsInput, group: Group): string {
  const [{ wanted, taken, logical, holder }] = group;
  if (holder !== undefined) return "";
  const ratio = atomsSize(mesh, taken) / atomsSize(mesh, wanted);
  const valueOf = ({ value }: Shortfall): Value => ensure(graph.values[value], "value") as Value;
  const states = group
    .filter((each) => valueOf(each).role !== undefined)
    .reduce((sum, each) => sum + bytesOf(valueOf(each).type) / each.parts, 0);
  const largest = largestActivation(graph, logical ?? "");
  const rows = job.mesh.reduce((n, axis) => ((job.rules["batch"] ?? []).includes(axis.name) ? n * axis.size : n), 1);
  const compared = (now: number): string => `${formatBytes(Math.round(now))} instead of ${formatBytes(Math.round(now * ratio))}`;
  const costs = [
    ...(states === 0 ? [] : [`${compared(states)} of params, optimizer state and gradients`]),
    ...(largest === undefined ? [] : [`${compared(bytesOf(largest.type) / rows / atomsSize(mesh, taken))} of ${largest.name}`]),
  ];
  return costs.length === 0 ? "" : `; a chip stores ${costs.join(", and ")}`;
}

/** The largest value with this logical axis that the step computes. */
function largestActivation(graph: Graph, logical: string): Value | undefined {
  const carries = (value: Value): boolean => (value.logicalAxes ?? []).some((axis) => axis?.split("/")[0] === logical);
  return graph.values
    .filter((value): value is Value => value.op !== "parameter" && value.role === undefined && carries(value as Value))
    .reduce<Value | undefined>((best, value) => (best === undefined || bytesOf(value.type) > bytesOf(best.type) ? value : best), undefined);
}

// ---- a strategy that names axes the mesh lacks ----

function missingStrategyAxes({ job, mesh }: FindingsInput): ShardingFinding[] {
  const has = (name: string): boolean => job.mesh.some((axis) => axis.name === name);
  const lacking = Object.entries(job.unapplied ?? {}).filter(([, axes]) => !axes.some(has));
  if (lacking.length === 0) return [];
  const names = [...new Set(lacking.flatMap(([, axes]) => axes))];
  return [
    {
      warning: {
        code: "LAP_RULE_AXIS_MISSING",
        message: `the strategy splits ${lacking.map(([logical, axes]) => `${logical} over ${axes.join("+")}`).join(", ")}, but the mesh has no such axis (it has ${printMesh(mesh)}): these dims stay whole`,
        place: "strategy",
        remedy: `add ${names.map((name) => `"${name}"`).join(" and ")} to the mesh, or choose a strategy for the axes that it has; \`rules.${lacking[0]?.[0] ?? ""}=null\` keeps the dim whole without a warning`,
      },
      idle: [],
      fixes: [],
    },
  ];
}

// ---- ZeRO ----

function zeroWithoutAxis({ job, mesh }: FindingsInput): ShardingFinding[] {
  const { axes } = zeroOptions(job);
  const parts = job.mesh.reduce((n, axis) => (axes.includes(axis.name) ? n * axis.size : n), 1);
  if (job.zero === 0 || job.chips === 1 || parts > 1) return [];
  return [
    {
      warning: {
        code: "LAP_ZERO_NO_EFFECT",
        message: `ZeRO stage ${job.zero} has no effect: it splits over the axes of the batch inside a pod, and the mesh ${printMesh(mesh)} has no such axis of more than one chip`,
        place: "zero",
        remedy: "put chips on an axis that splits the batch (rules.batch → data), or set zero=0",
      },
      idle: [],
      fixes: [],
    },
  ];
}

/** No warning if at most this fraction of the states stays whole: norms and other small tensors. */
const negligibleFraction = 0.01;

function zeroShortfall({ job, mesh, graph, shortfalls }: FindingsInput): ShardingFinding[] {
  const own = shortfalls.filter(({ logical, value }) => logical === undefined && graph.values[value]?.op === "parameter");
  const [first] = own;
  if (first === undefined) return [];
  const states = graph.values.filter(
    (value) => value.op === "parameter" && (value.role === "optimizer" || (value.role === "param" && job.zero === 3)),
  );
  const total = states.reduce((sum, { type }) => sum + bytesOf(type), 0);
  const lost = ({ value, wanted, taken }: Shortfall): number =>
    bytesOf(ensure(graph.values[value], "value").type) * (1 - atomsSize(mesh, taken) / atomsSize(mesh, wanted));
  const whole = own.reduce((sum, each) => sum + lost(each), 0);
  if (whole / total <= negligibleFraction) return [];
  const largest = own.reduce((best, each) => (lost(each) > lost(best) ? each : best), first);
  const value = ensure(graph.values[largest.value], "value");
  const [now, full] = own.reduce(
    ([a, b], each) => {
      const bytes = bytesOf(ensure(graph.values[each.value], "value").type) / each.parts;
      return [a + bytes, b + (bytes * atomsSize(mesh, each.taken)) / atomsSize(mesh, each.wanted)];
    },
    [0, 0],
  );
  const parts = atomsSize(mesh, largest.wanted);
  const axes = zeroOptions(job).axes.join("+");
  return [
    {
      warning: {
        code: "LAP_ZERO_INDIVISIBLE",
        message: `ZeRO stage ${job.zero} has only part of its effect: ${own.length} of ${states.length} states have no dim that ${axes} = ${parts} divides, such as ${value.name} [${value.type.dims.join(", ")}]; a chip stores ${formatBytes(Math.round(now))} of them instead of ${formatBytes(Math.round(full))}`,
        place: "zero",
        remedy: `use sizes that are multiples of ${parts}, such as model.model_dim=${Math.ceil(job.model.config.modelDim / parts) * parts}, or a smaller ${axes} axis`,
      },
      idle: [],
      fixes: [],
    },
  ];
}
