import { type BuildOptions, type Dispatch, type HeadExchange, layerTypesOf } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { checkPipeline } from "./check-pipeline.js";
import { pipelineOf, sizeOfAxes, stagesOf } from "./axis-sizes.js";
import type { ConfigSource } from "./config-source.js";
import { defaultCapacityFactor } from "./job-schema.js";
import type { ResolvedJob } from "./resolved-job.js";

type Built = Pick<ResolvedJob, "mesh" | "rules" | "moe" | "context" | "pipeline"> & {
  readonly model: Pick<ResolvedJob["model"], "config">;
};

/** How the training programs of a job compute its model. Generation has no capacity and no exchange of heads. */
export function buildOptionsOf(job: Built): BuildOptions {
  const dispatch = dispatchOf(job);
  const headExchange = headExchangeOf(job);
  const pipeline = pipelineOf(job);
  const parts = seqPartsOfJob(job);
  return {
    ...(dispatch === undefined ? {} : { dispatch }),
    ...(headExchange === undefined ? {} : { headExchange }),
    ...(job.context?.strategy === "ring" && parts > 1 ? { ringParts: parts } : {}),
    ...(job.context?.balance === true && parts > 1 ? { balancedParts: parts } : {}),
    ...(pipeline === undefined ? {} : { pipeline }),
  };
}

function dispatchOf({ moe, mesh, rules, model: { config } }: Built): Dispatch | undefined {
  if (moe === undefined || config.experts === undefined) return undefined;
  if (moe.dispatch === "dense") return { kind: "dense" };
  if (moe.dispatch === "dropless")
    return { kind: "dropless", parts: sizeOfAxes(mesh, rules["experts"] ?? []), imbalance: moe.imbalance ?? 1 };
  return { kind: "capacity", capacityFactor: moe.capacity_factor ?? defaultCapacityFactor };
}

/** The exchange of heads with the fewest repeated kv heads; undefined if nothing splits the sequence, or if no number of heads divides. */
function headExchangeOf({ context, mesh, rules, model: { config } }: Built): HeadExchange | undefined {
  if (context?.strategy !== "heads" || (rules["seq"] ?? []).length === 0) return undefined;
  const parts = sizeOfAxes(mesh, rules["exchanged_heads"] ?? []);
  const groups = config.heads / config.kvHeads;
  for (let repeats = 1; repeats <= groups; repeats++)
    if (groups % repeats === 0 && (config.kvHeads * repeats) % parts === 0) return { kvHeads: config.kvHeads * repeats };
  return undefined;
}

/** Parts of a row in attention; 1 if nothing splits the sequence. */
export const seqPartsOfJob = ({ mesh, rules }: Pick<ResolvedJob, "mesh" | "rules">): number => sizeOfAxes(mesh, rules["seq"] ?? []);

/** The recipes whose programs use these options. */
const recipesOfOptions: readonly (string | undefined)[] = [undefined, "sft"];

/** @throws LAP_MOE_DISPATCH, LAP_CONTEXT_STRATEGY, LAP_PIPELINE_LAYOUT or LAP_MESH_INDIVISIBLE if the model, the recipe or the mesh does not fit `moe`, `context` or the stages */
export function checkBuildOptions(job: ResolvedJob, source: ConfigSource): void {
  checkExperts(job, source);
  checkContext(job, source);
  checkPipeline(job, source);
  for (const key of ["moe", "context"] as const) {
    const isUsed = key === "moe" ? job.moe !== undefined && job.moe.dispatch !== "dense" : usesContext(job);
    if (!isUsed || recipesOfOptions.includes(job.recipe)) continue;
    throw new LapidaryError({
      code: key === "moe" ? "LAP_MOE_DISPATCH" : "LAP_CONTEXT_STRATEGY",
      message: `the recipe ${job.recipe} does not use ${key}: only pretraining and sft do`,
      location: source.locationOf([key]),
      remedy:
        key === "moe" ? "write moe: { dispatch: dense }, or remove moe" : "write context: { strategy: all_gather }, or remove context",
    });
  }
}

function checkExperts({ moe, mesh, rules, model: { name, config } }: ResolvedJob, source: ConfigSource): void {
  const { experts } = config;
  if (moe !== undefined && experts === undefined)
    throw new LapidaryError({
      code: "LAP_MOE_DISPATCH",
      message: `the model ${name} has no experts`,
      location: source.locationOf(["moe"]),
      remedy: "remove moe, or use a model with experts",
    });
  const axes = rules["experts"] ?? [];
  const parts = sizeOfAxes(mesh, axes);
  if (experts === undefined || experts.count % parts === 0) return;
  const near = [...divisors(experts.count)].findLast((n) => n <= parts) ?? 1;
  throw new LapidaryError({
    code: "LAP_MESH_INDIVISIBLE",
    message: `the ${experts.count} experts of ${name} are not divisible by ${axes.join("×")} = ${parts}`,
    location: source.locationOf(["mesh"]),
    remedy: `use an axis ${axes.join("×")} of ${near} chips, or set rules.experts to null`,
  });
}

function checkContext(job: ResolvedJob, source: ConfigSource): void {
  const { context, rules } = job;
  if (context === undefined) return;
  const location = source.locationOf(["context"]);
  if ((rules["seq"] ?? []).length === 0)
    throw new LapidaryError({
      code: "LAP_CONTEXT_STRATEGY",
      message: "nothing splits the sequence, so that context.strategy has no effect",
      location,
      remedy: "add an axis context to the mesh, such as mesh: { data: 4, context: 4 }",
    });
  const problem = contextProblem(job);
  if (problem !== undefined) throw new LapidaryError({ code: "LAP_CONTEXT_STRATEGY", ...problem, location });
}

/** Whether attention or the order of rows differs from that of a job without the key `context`. */
const usesContext = ({ context }: Pick<ResolvedJob, "context">): boolean =>
  context !== undefined && (context.strategy !== "all_gather" || context.balance === true);

/** Why a job whose sequence is split cannot have its `context`, and what it could have; undefined if it can. */
export function contextProblem(job: ResolvedJob): { readonly message: string; readonly remedy: string } | undefined {
  const { context, recipe, rules, model, train } = job;
  const { strategy = "all_gather", balance = false } = context ?? {};
  const key = strategy === "ring" ? "context.strategy: ring" : "context.balance";
  const parts = seqPartsOfJob(job);
  const axes = (logical: string): string => (rules[logical] ?? []).join(" · ");
  if (strategy === "heads" && headExchangeOf(job) === undefined) {
    const { heads } = model.config;
    const ofHeads = sizeOfAxes(job.mesh, rules["exchanged_heads"] ?? []);
    return {
      message: `context.strategy: heads needs ${axes("exchanged_heads")} = ${ofHeads} to divide the ${heads} query heads of ${model.name}`,
      remedy: `use ${axes("exchanged_heads")} = ${[...divisors(heads)].findLast((n) => n <= ofHeads) ?? 1}, or context.strategy: all_gather`,
    };
  }
  if (strategy !== "ring" && !balance) return undefined;
  if (recipe !== undefined)
    return {
      message: `${key} needs rows of one document, and rows of the recipe ${recipe} have several`,
      remedy: "write context: { strategy: all_gather }, or remove context",
    };
  const divisor = balance ? 2 * parts : parts;
  if (train.seq % divisor !== 0)
    return {
      message: `${key} needs ${balance ? `2 · ${axes("seq")}` : axes("seq")} = ${divisor} to divide the ${train.seq} tokens of a row`,
      remedy: `use train.seq: ${Math.max(1, Math.floor(train.seq / divisor)) * divisor}`,
    };
  return balance ? balanceProblem(job) : undefined;
}

function balanceProblem({ context, mesh, rules, moe, model: { name, config }, train }: ResolvedJob): ReturnType<typeof contextProblem> {
  if (context?.strategy === "heads")
    return {
      message: "with context.strategy: heads, a chip has all positions of its heads, so that context.balance has no effect",
      remedy: "remove context.balance, or use context.strategy: ring or all_gather",
    };
  if (layerTypesOf(config).includes("window") && (config.window ?? Infinity) < train.seq)
    return {
      message: `context.balance needs layers that attend to the whole row, and ${name} has layers with a window of ${config.window}`,
      remedy: "remove context.balance: a window leaves all chips the same work",
    };
  if (stagesOf({ mesh, rules }) > 1)
    return {
      message: "context.balance does not work with the stages of a pipeline",
      remedy: "remove context.balance, or give the chips of stage to another axis",
    };
  const { experts } = config;
  if (experts === undefined || moe === undefined || (moe.dispatch ?? "capacity") !== "capacity") return undefined;
  const needed = experts.count / experts.perToken;
  if ((moe.capacity_factor ?? defaultCapacityFactor) >= needed) return undefined;
  return {
    message: "context.balance changes which tokens of a row come first, and so which tokens full experts drop",
    remedy: `use moe.capacity_factor: ${needed} = experts / per_token, which drops none, or remove context.balance`,
  };
}

const divisors = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
