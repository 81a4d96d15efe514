import { summarizeCollectives } from "@lapidary/compiler";
import { compileJob } from "@lapidary/trainer/recipes";
import { buildOptionsOf, type ResolvedJob } from "@lapidary/training";

/** What a strategy of context parallelism would cost a job. */
export interface ContextStrategy {
  readonly strategy: "all_gather" | "heads";
  readonly chosen: boolean;
  /** Bytes that a chip sends in a step, in all collectives; null if the mesh does not divide the heads. */
  readonly step_bytes_per_chip: number | null;
}

const strategies = ["all_gather", "heads"] as const;

/** The strategies for a job that splits the sequence of its training step; none for other jobs. */
export function contextStrategies(job: ResolvedJob): ContextStrategy[] {
  const { rules, mesh, recipe, context } = job;
  if ((rules["seq"] ?? []).length === 0 || !(recipe === undefined || recipe === "sft")) return [];
  const has = (axis: string): boolean => mesh.some(({ name }) => name === axis);
  const exchanged = rules["exchanged_heads"] ?? [...new Set([...(rules["kv_heads"] ?? []), ...(rules["seq"] ?? [])])].filter(has);
  return strategies.map((strategy) => {
    const changed: ResolvedJob = { ...job, context: { strategy }, rules: { ...rules, exchanged_heads: exchanged } };
    const isPossible = strategy === "all_gather" || buildOptionsOf(changed).headExchange !== undefined;
    return {
      strategy,
      chosen: (context?.strategy ?? "all_gather") === strategy,
      step_bytes_per_chip: isPossible ? bytesOf(changed) : null,
    };
  });
}

const bytesOf = (job: ResolvedJob): number =>
  summarizeCollectives(compileJob(job, { verify: false }).chip).reduce((sum, { bytes_per_chip }) => sum + bytes_per_chip, 0);
