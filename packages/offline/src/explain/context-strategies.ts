import { summarizeCollectives } from "@lapidary/compiler";
import { type Machine, simulate } from "@lapidary/simulator";
import { compileJob, computeOf } from "@lapidary/trainer/recipes";
import { type ContextStrategyName, contextProblem, contextStrategyNames, type ResolvedJob } from "@lapidary/training";

/** What a strategy of context parallelism would cost a job. */
export interface ContextStrategy {
  readonly strategy: ContextStrategyName;
  readonly chosen: boolean;
  /** Bytes that a chip sends in a step, in all collectives; null if the job cannot use the strategy. */
  readonly step_bytes_per_chip: number | null;
  /** Predicted time of a step; null if the strategy is not possible, or if no machine is given. */
  readonly step_time_s: number | null;
}

/**
 * The strategies for a job that splits the sequence of its training step; none for other jobs.
 *
 * @param machine times the step with each strategy
 */
export function contextStrategies(job: ResolvedJob, machine?: Machine): ContextStrategy[] {
  const { rules, mesh, recipe, context } = job;
  if ((rules["seq"] ?? []).length === 0 || !(recipe === undefined || recipe === "sft")) return [];
  const has = (axis: string): boolean => mesh.some(({ name }) => name === axis);
  const exchanged = rules["exchanged_heads"] ?? [...new Set([...(rules["kv_heads"] ?? []), ...(rules["seq"] ?? [])])].filter(has);
  return contextStrategyNames.map((strategy) => {
    // Other strategies than heads balance the causal mask.
    const balance = strategy === "heads" ? {} : { balance: context?.balance };
    const changed: ResolvedJob = { ...job, context: { strategy, ...balance }, rules: { ...rules, exchanged_heads: exchanged } };
    const isPossible = contextProblem(changed) === undefined;
    return {
      strategy,
      chosen: (context?.strategy ?? "all_gather") === strategy,
      ...(isPossible ? costOf(changed, machine) : { step_bytes_per_chip: null, step_time_s: null }),
    };
  });
}

function costOf(job: ResolvedJob, machine: Machine | undefined): Pick<ContextStrategy, "step_bytes_per_chip" | "step_time_s"> {
  const program = compileJob(job, { verify: false });
  const options = { compute: computeOf(job), ...(job.attention === undefined ? {} : { attention: job.attention }) };
  return {
    step_bytes_per_chip: summarizeCollectives(program.chip).reduce((sum, { bytes_per_chip }) => sum + bytes_per_chip, 0),
    step_time_s: machine === undefined ? null : simulate(program, machine, options).stepSeconds,
  };
}
