import type { BuildOptions, Dispatch, HeadExchange } from "@lapidary/models";
import { LapidaryError } from "@lapidary/std";
import { checkPipeline } from "./check-pipeline.js";
import { sizeOfAxes, stagesOf } from "./axis-sizes.js";
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
  const stages = stagesOf(job);
  return {
    ...(dispatch === undefined ? {} : { dispatch }),
    ...(headExchange === undefined ? {} : { headExchange }),
    ...(stages === 1 ? {} : { pipeline: { stages, order: job.pipeline?.order ?? "gpipe" } }),
  };
}

function dispatchOf({ moe, model: { config } }: Built): Dispatch | undefined {
  if (moe === undefined || config.experts === undefined) return undefined;
  if (moe.dispatch === "dense") return { kind: "dense" };
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

/** The recipes whose programs use these options. */
const recipesOfOptions: readonly (string | undefined)[] = [undefined, "sft"];

/** @throws LAP_MOE_DISPATCH, LAP_CONTEXT_STRATEGY, LAP_PIPELINE_LAYOUT or LAP_MESH_INDIVISIBLE if the model, the recipe or the mesh does not fit `moe`, `context` or the stages */
export function checkBuildOptions(job: ResolvedJob, source: ConfigSource): void {
  checkExperts(job, source);
  checkContext(job, source);
  checkPipeline(job, source);
  for (const key of ["moe", "context"] as const) {
    const isUsed = key === "moe" ? job.moe !== undefined && job.moe.dispatch !== "dense" : job.context?.strategy === "heads";
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
  const { context, mesh, rules, model } = job;
  if (context === undefined) return;
  const location = source.locationOf(["context"]);
  if ((rules["seq"] ?? []).length === 0)
    throw new LapidaryError({
      code: "LAP_CONTEXT_STRATEGY",
      message: "nothing splits the sequence, so that context.strategy has no effect",
      location,
      remedy: "add an axis context to the mesh, such as mesh: { data: 4, context: 4 }",
    });
  if (context.strategy !== "heads" || headExchangeOf(job) !== undefined) return;
  const { heads } = model.config;
  const axes = rules["exchanged_heads"] ?? [];
  const parts = sizeOfAxes(mesh, axes);
  throw new LapidaryError({
    code: "LAP_CONTEXT_STRATEGY",
    message: `context.strategy: heads needs ${axes.join(" · ")} = ${parts} to divide the ${heads} query heads of ${model.name}`,
    location,
    remedy: `use ${axes.join(" · ")} = ${[...divisors(heads)].findLast((n) => n <= parts) ?? 1}, or context.strategy: all_gather`,
  });
}

const divisors = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
