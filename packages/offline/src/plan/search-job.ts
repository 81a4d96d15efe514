import { analyse, extrapolate, type Machine, type RankedPlan, searchPlans, simulateAnalysed, usableHbm } from "@lapidary/simulator";
import { LapidaryError } from "@lapidary/std";
import { chipCount } from "@lapidary/topology";
import { compileJob, computeOf } from "@lapidary/trainer/recipes";
import { expertLayersOf, layerPeriodOf } from "@lapidary/models";
import { activeParameters, buildOptionsOf, type ResolvedJob, shardingFindings } from "@lapidary/training";
import { choicesOf, overridesOf, type PlanChoice } from "./plan-choice.js";

export interface JobSearch {
  readonly job: ResolvedJob;
  readonly machine: Machine;
  /** Returns the job with more overrides. */
  readonly read: (overrides: readonly string[]) => ResolvedJob;
  readonly budget: number;
  readonly onProgress: (tried: number, budget: number, best: string) => boolean | Promise<boolean>;
}

/**
 * Searches the axes `model`, `context` and `expert`, the strategy of context parallelism, ZeRO stage, rematerialisation, batch, microbatches, pieces of
 * the loss and sequence sharding inside the job's slice. For each plan, two models of few layers are compiled and timed. The whole model is
 * extrapolated, because every period of layers adds the same time and memory. Times are for the tokens of the job's own step.
 */
export async function searchJob({ job, machine, read, budget, onProgress }: JobSearch): Promise<RankedPlan<PlanChoice>[]> {
  const chips = chipCount(machine.torus);
  const { layers } = job.model.config;
  const compute = computeOf(job);
  const { starts, neighbours } = choicesOf(job, chips);
  // Layers of the two small models: whole periods, so that each has layers of every kind.
  const few = Math.max(2, layerPeriodOf(job.model.config));
  const more = 2 * few;

  const time = (resolved: ResolvedJob, count: number): { seconds: number; hbmBytes: number } => {
    const analysis = analyse(compileJob(withLayers(resolved, count), { verify: false }), machine.chip, compute, job.attention);
    return { seconds: simulateAnalysed(analysis, machine).stepSeconds, hbmBytes: analysis.memory.peakBytes };
  };
  const { flops, parameterBytes } = leastOf(job);
  const peak = machine.chip.matrix.bf16_flops * machine.chip.calibrated.matrix_efficiency * chips * machine.pods;
  const describe = (plan: PlanChoice): string => overridesOf(plan, job, chips).join(" ");
  return searchPlans<PlanChoice>({
    starts,
    neighbours,
    key: describe,
    // A lower bound for every plan: the flops of the model at the peak of all chips, and its states split as far as the ZeRO stage allows.
    bound: ({ zero, model, expert, remat }) => {
      const params = (parameterBytes.dense + parameterBytes.experts / expert) / model;
      const whole = (parameterBytes.dense + parameterBytes.experts) / chips;
      return {
        seconds: ((remat === "full" ? 7 : 6) / 6) * (flops / peak),
        hbmBytes: (zero === 3 ? 3 * whole : zero === 0 ? 3 * params : params + 2 * whole) * 0.9,
      };
    },
    evaluate: (plan) => {
      try {
        const resolved = read(overridesOf(plan, job, chips));
        // A plan in which chips repeat the work of others is skipped.
        if (shardingFindings(withLayers(resolved, Math.min(few, layers))).some(({ idle }) => idle.length > 0)) return undefined;
        const scale = job.train.batch / plan.batch;
        if (layers <= more) {
          const whole = time(resolved, layers);
          return { seconds: whole.seconds * scale, hbmBytes: whole.hbmBytes };
        }
        const [a, b] = [time(resolved, few), time(resolved, more)];
        return {
          seconds: extrapolate(a.seconds, b.seconds, few, more, layers) * scale,
          hbmBytes: extrapolate(a.hbmBytes, b.hbmBytes, few, more, layers),
        };
      } catch (error) {
        if (error instanceof LapidaryError) return undefined;
        throw error;
      }
    },
    hbmLimit: usableHbm(machine.chip),
    budget,
    onProgress: (tried, of, best) => onProgress(tried, of, best === undefined ? "" : describe(best.plan)),
  });
}

/** The job with another number of layers. */
const withLayers = (resolved: ResolvedJob, count: number): ResolvedJob => ({
  ...resolved,
  model: { ...resolved.model, config: { ...resolved.model.config, layers: count } },
});

/** What no plan of a job can be below: the flops of its step, and the f32 bytes of its weights. Embeddings count once. */
function leastOf(job: ResolvedJob): {
  readonly flops: number;
  readonly parameterBytes: { readonly dense: number; readonly experts: number };
} {
  const { config } = job.model;
  const { modelDim: D, layers: L, heads: H, kvHeads: K, headDim: E, mlpDim: F, vocabSize: V, experts } = config;
  const { dispatch } = buildOptionsOf(job);
  const expertLayers = experts === undefined ? 0 : expertLayersOf(config);
  // An expert that is full computes fewer rows than tokens chose it.
  const dropped = dispatch?.kind === "capacity" ? 1 - Math.min(1, dispatch.capacityFactor) : 0;
  const ofExperts = 3 * D * expertLayers * (experts?.mlpDim ?? 0);
  // The embedding table does not count, because it is not multiplied.
  const multiplied = activeParameters(config) - V * D - dropped * ofExperts * (experts?.perToken ?? 0);
  return {
    flops: 6 * multiplied * job.train.batch * job.train.seq,
    parameterBytes: {
      dense: 4 * (V * D + L * (2 * D * H * E + 2 * D * K * E) + (L - expertLayers) * 3 * D * F),
      experts: 4 * ofExperts * (experts?.count ?? 0),
    },
  };
}
