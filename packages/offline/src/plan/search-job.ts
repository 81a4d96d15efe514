import { analyse, extrapolate, type Machine, type RankedPlan, searchPlans, simulateAnalysed, usableHbm } from "@lapidary/simulator";
import { type RematPolicy, rematPolicies } from "@lapidary/compiler";
import { LapidaryError } from "@lapidary/std";
import { chipCount } from "@lapidary/topology";
import { compileJob, computeOf } from "@lapidary/trainer/recipes";
import { activeParameters, lossChunksOf, mostLossChunks, podAxis, type ResolvedJob, shardingFindings } from "@lapidary/training";

/** The settings that the search changes. */
export interface PlanChoice {
  /** Chips along `model`; the rest of a pod is `data`. */
  readonly model: number;
  readonly zero: 0 | 1 | 2 | 3;
  readonly remat: RematPolicy;
  readonly batch: number;
  /** Whether the sequence of the residual stream is split over `model` between matmuls. */
  readonly sequence: boolean;
  /** Pieces of the sequence in which the loss is computed. */
  readonly lossChunks: number;
  /** Parts of the batch whose gradients are added before the update. */
  readonly microbatches: number;
}

export interface JobSearch {
  readonly job: ResolvedJob;
  readonly machine: Machine;
  /** Returns the job with more overrides. */
  readonly read: (overrides: readonly string[]) => ResolvedJob;
  readonly budget: number;
  readonly onProgress: (tried: number, budget: number, best: string) => boolean | Promise<boolean>;
}

/** Layers of the two small models from which the whole model is extrapolated. */
const [few, more] = [2, 4] as const;

/** The overrides of a choice, for `lapidary plan`. */
export function overridesOf(
  choice: PlanChoice,
  {
    pods,
    loss_chunks: chunks,
    train,
  }: Pick<ResolvedJob, "pods" | "loss_chunks"> & { readonly train?: Pick<ResolvedJob["train"], "microbatches"> },
  chips: number,
): string[] {
  const mesh = {
    ...(pods === 1 ? {} : { [podAxis]: pods }),
    data: chips / choice.model,
    ...(choice.model === 1 ? {} : { model: choice.model }),
  };
  return [
    `mesh={ ${Object.entries(mesh)
      .map(([axis, size]) => `${axis}: ${size}`)
      .join(", ")} }`,
    `zero=${choice.zero}`,
    `remat=${choice.remat}`,
    `train.batch=${choice.batch}`,
    ...(choice.lossChunks === 1 && chunks === undefined ? [] : [`loss_chunks=${choice.lossChunks}`]),
    ...(choice.microbatches === 1 && train?.microbatches === undefined ? [] : [`train.microbatches=${choice.microbatches}`]),
    ...(choice.model === 1 ? [] : [`rules.activation_seq=${choice.sequence ? "model" : "null"}`]),
  ];
}

/**
 * Searches meshes, ZeRO stage, rematerialisation, batch, microbatches, pieces of the loss and sequence sharding inside the job's slice. For each plan, models of 2 and 4 layers are compiled and
 * timed. The whole model is extrapolated, because every layer adds the same time and memory. Times are for the tokens of the job's own step.
 */
export async function searchJob({ job, machine, read, budget, onProgress }: JobSearch): Promise<RankedPlan<PlanChoice>[]> {
  const chips = chipCount(machine.torus);
  const { layers } = job.model.config;
  const compute = computeOf(job);
  const models = powers(Math.min(chips, 64)).filter((model) => chips % model === 0 && model <= job.model.config.heads * 4);
  const batches = [job.train.batch / 2, job.train.batch, job.train.batch * 2].filter((batch) => Number.isInteger(batch));
  const chunks = chunksToTry(job);
  const own: PlanChoice = {
    model: job.mesh.find(({ name }) => name === "model")?.size ?? 1,
    zero: job.zero,
    remat: job.remat,
    batch: job.train.batch,
    sequence: (job.rules["activation_seq"] ?? []).length > 0,
    lossChunks: lossChunksOf(job)?.count ?? 1,
    microbatches: job.train.microbatches ?? 1,
  };

  const starts: PlanChoice[] = [
    own,
    ...models.flatMap((model) =>
      [false, true]
        .filter((sequence) => model > 1 || !sequence)
        .map((sequence) => ({ ...own, model, sequence, remat: "full" as const, zero: 3 as const })),
    ),
  ];
  const neighbours = (plan: PlanChoice): PlanChoice[] => [
    ...rematPolicies.filter((remat) => remat !== plan.remat).map((remat) => ({ ...plan, remat })),
    ...([1, 2, 3] as const).filter((zero) => zero !== plan.zero).map((zero) => ({ ...plan, zero })),
    ...batches.filter((batch) => batch !== plan.batch).map((batch) => ({ ...plan, batch })),
    ...models
      .filter((model) => model === plan.model * 2 || model * 2 === plan.model)
      .map((model) => ({ ...plan, model, sequence: model > 1 && plan.sequence })),
    ...chunks.filter((lossChunks) => lossChunks !== plan.lossChunks).map((lossChunks) => ({ ...plan, lossChunks })),
    ...microbatchesToTry(job, plan).map((microbatches) => ({ ...plan, microbatches })),
    ...(plan.model > 1 ? [{ ...plan, sequence: !plan.sequence }] : []),
  ];

  const time = (resolved: ResolvedJob, count: number): { seconds: number; hbmBytes: number } => {
    const analysis = analyse(compileJob(withLayers(resolved, count), { verify: false }), machine, compute, job.attention);
    return { seconds: simulateAnalysed(analysis, machine).stepSeconds, hbmBytes: analysis.memory.peakBytes };
  };
  // A lower bound for every plan: the flops of the model at the peak of all chips, and its states split as far as the ZeRO stage allows.
  const params = parameterBytes(job);
  const { vocabSize, modelDim } = job.model.config;
  const flops = 6 * (activeParameters(job.model.config) - vocabSize * modelDim) * job.train.batch * job.train.seq;
  const peak = machine.chip.matrix.bf16_flops * machine.chip.calibrated.matrix_efficiency * chips * machine.pods;
  const describe = (plan: PlanChoice): string => overridesOf(plan, job, chips).join(" ");
  return searchPlans<PlanChoice>({
    starts,
    neighbours,
    key: describe,
    bound: ({ zero, model, remat }) => ({
      // The embedding table does not count, because it is not multiplied.
      seconds: ((remat === "full" ? 7 : 6) / 6) * (flops / peak),
      hbmBytes: (params / model) * (zero === 3 ? 3 / (chips / model) : zero === 0 ? 3 : 1 + 2 / (chips / model)) * 0.9,
    }),
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

/** Powers of two up to a limit. */
const powers = (limit: number): number[] => Array.from({ length: Math.floor(Math.log2(limit)) + 1 }, (_, i) => 2 ** i);

/** The job with another number of layers. */
const withLayers = (resolved: ResolvedJob, count: number): ResolvedJob => ({
  ...resolved,
  model: { ...resolved.model, config: { ...resolved.model.config, layers: count } },
});

/** Numbers of pieces of the loss that a plan or its advice tries. More pieces hardly lower the memory, because layers then need more. */
export const chunksToTry = (job: ResolvedJob): number[] =>
  job.recipe === undefined || job.recipe === "sft" ? [1, 4, 16].filter((count) => count <= mostLossChunks(job)) : [];

/** f32 bytes of all weights; embeddings count once. */
function parameterBytes(job: ResolvedJob): number {
  const { modelDim: D, layers: L, heads: H, kvHeads: K, headDim: E, mlpDim: F, vocabSize: V } = job.model.config;
  return 4 * (V * D + L * (2 * D * H * E + 2 * D * K * E + 3 * D * F));
}

/** Twice and half as many parts of the batch, for the recipes that have the key. */
const microbatchesToTry = ({ recipe }: ResolvedJob, { microbatches }: PlanChoice): number[] =>
  recipe === undefined || recipe === "sft" ? [microbatches * 2, microbatches / 2].filter(Number.isInteger) : [];
