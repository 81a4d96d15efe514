import { type RematPolicy, rematPolicies } from "@lapidary/compiler";
import {
  type ContextStrategyName,
  contextStrategyNames,
  lossChunksOf,
  mostLossChunks,
  podAxis,
  type ResolvedJob,
} from "@lapidary/training";

/** The settings that the search changes. */
export interface PlanChoice {
  /** Chips along `model`. The chips of a pod that no other axis has are `data`. */
  readonly model: number;
  /** Chips along `expert`; 1 if the model has no experts. */
  readonly expert: number;
  /** Chips along `context`. */
  readonly context: number;
  /** How attention uses the axis `context`; without the axis, the default. */
  readonly contextStrategy: ContextStrategyName;
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

/** The chips of a pod along `data`; not an integer if the other axes do not divide the pod. */
const dataChips = ({ model, expert, context }: PlanChoice, chips: number): number => chips / (model * expert * context);

/** The overrides of a choice, for `lapidary plan`. */
export function overridesOf(
  choice: PlanChoice,
  {
    pods,
    loss_chunks: chunks,
    train,
    context,
  }: Pick<ResolvedJob, "pods" | "loss_chunks" | "context"> & { readonly train?: Pick<ResolvedJob["train"], "microbatches"> },
  chips: number,
): string[] {
  const axis = (name: string, size: number): string[] => (size === 1 ? [] : [`${name}: ${size}`]);
  const mesh = [
    ...axis(podAxis, pods),
    `data: ${dataChips(choice, chips)}`,
    ...axis("expert", choice.expert),
    ...axis("context", choice.context),
    ...axis("model", choice.model),
  ];
  return [
    `mesh={ ${mesh.join(", ")} }`,
    `zero=${choice.zero}`,
    `remat=${choice.remat}`,
    `train.batch=${choice.batch}`,
    ...(choice.lossChunks === 1 && chunks === undefined ? [] : [`loss_chunks=${choice.lossChunks}`]),
    ...(choice.microbatches === 1 && train?.microbatches === undefined ? [] : [`train.microbatches=${choice.microbatches}`]),
    ...sequenceRule(choice),
    ...contextOverride(choice, context),
  ];
}

/** The rule of the residual stream between matmuls. Without `model` the default rule is right: it splits over `context`. */
function sequenceRule({ model, context, sequence }: PlanChoice): string[] {
  if (model === 1) return [];
  if (context === 1) return [`rules.activation_seq=${sequence ? "model" : "null"}`];
  return [`rules.activation_seq=${sequence ? "[context, model]" : "context"}`];
}

/** A job without the axis `context` must not have the key. */
function contextOverride({ context, contextStrategy }: PlanChoice, own: ResolvedJob["context"]): string[] {
  if (context === 1) return own === undefined ? [] : ["context=null"];
  return contextStrategy === (own?.strategy ?? "all_gather") ? [] : [`context.strategy=${contextStrategy}`];
}

/** The choice that a job makes. */
export function ownChoice(job: ResolvedJob): PlanChoice {
  const sizeOf = (axis: string): number => job.mesh.find(({ name }) => name === axis)?.size ?? 1;
  return {
    model: sizeOf("model"),
    expert: job.model.config.experts === undefined ? 1 : sizeOf("expert"),
    context: sizeOf("context"),
    contextStrategy: job.context?.strategy ?? "all_gather",
    zero: job.zero,
    remat: job.remat,
    batch: job.train.batch,
    sequence: (job.rules["activation_seq"] ?? []).includes("model"),
    lossChunks: lossChunksOf(job)?.count ?? 1,
    microbatches: job.train.microbatches ?? 1,
  };
}

/** The plans that a search of a job can reach. */
export interface ChoiceSpace {
  /** The plans that are tried in any case, that of the job first. */
  readonly starts: readonly PlanChoice[];
  /** Plans that differ from a plan in one setting. */
  readonly neighbours: (plan: PlanChoice) => readonly PlanChoice[];
}

/** @param chips of a pod */
export function choicesOf(job: ResolvedJob, chips: number): ChoiceSpace {
  const { heads, experts } = job.model.config;
  const models = powers(Math.min(chips, 64)).filter((model) => chips % model === 0 && model <= heads * 4);
  const expertSizes = powers(experts?.count ?? 1).filter((size) => chips % size === 0 && (experts?.count ?? 1) % size === 0);
  const contexts = splitsSequence(job)
    ? powers(Math.min(chips, 64)).filter((size) => chips % size === 0 && job.train.seq % size === 0)
    : [1];
  const batches = [job.train.batch / 2, job.train.batch, job.train.batch * 2].filter((batch) => Number.isInteger(batch));
  const chunks = chunksToTry(job);
  const own = ownChoice(job);
  const usual = { ...own, expert: 1, context: 1, contextStrategy: "all_gather", remat: "full", zero: 3 } as const;
  const isPossible = (plan: PlanChoice): boolean => Number.isInteger(dataChips(plan, chips));

  const starts: PlanChoice[] = [
    own,
    ...models.flatMap((model) =>
      [false, true].filter((sequence) => model > 1 || !sequence).map((sequence) => ({ ...usual, model, sequence })),
    ),
    ...expertSizes.filter((expert) => expert > 1).map((expert) => ({ ...usual, model: 1, sequence: false, expert })),
    ...smallestContext(job, contexts, chips).map((context) => ({ ...usual, model: 1, sequence: false, context })),
  ];
  /** The next larger and the next smaller of the sizes of an axis. */
  const near = (sizes: readonly number[], size: number): number[] => sizes.filter((each) => each === size * 2 || each * 2 === size);
  const neighbours = (plan: PlanChoice): PlanChoice[] => [
    ...rematPolicies.filter((remat) => remat !== plan.remat).map((remat) => ({ ...plan, remat })),
    ...([1, 2, 3] as const).filter((zero) => zero !== plan.zero).map((zero) => ({ ...plan, zero })),
    ...batches.filter((batch) => batch !== plan.batch).map((batch) => ({ ...plan, batch })),
    ...near(models, plan.model).map((model) => ({ ...plan, model, sequence: model > 1 && plan.sequence })),
    ...near(expertSizes, plan.expert).map((expert) => ({ ...plan, expert })),
    ...near(contexts, plan.context).map((context) => withContext(plan, context)),
    ...(plan.context === 1 ? [] : contextStrategyNames)
      .filter((strategy) => strategy !== plan.contextStrategy)
      .map((contextStrategy) => ({ ...plan, contextStrategy })),
    ...chunks.filter((lossChunks) => lossChunks !== plan.lossChunks).map((lossChunks) => ({ ...plan, lossChunks })),
    ...microbatchesToTry(job, plan).map((microbatches) => ({ ...plan, microbatches })),
    ...(plan.model > 1 ? [{ ...plan, sequence: !plan.sequence }] : []),
  ];
  return { starts: starts.filter(isPossible), neighbours: (plan) => neighbours(plan).filter(isPossible) };
}

const withContext = (plan: PlanChoice, context: number): PlanChoice => ({
  ...plan,
  context,
  contextStrategy: context === 1 ? "all_gather" : plan.contextStrategy,
});

/** Only these recipes train on whole rows, whose positions an axis can split. */
const splitsSequence = ({ recipe }: Pick<ResolvedJob, "recipe">): boolean => recipe === undefined || recipe === "sft";

/** The fewest parts of a row with which the rows of the batch occupy all chips, if that is more than one. */
function smallestContext({ train: { batch }, pods }: ResolvedJob, contexts: readonly number[], chips: number): number[] {
  const smallest = contexts.find((context) => batch % ((pods * chips) / context) === 0);
  return smallest === undefined || smallest === 1 ? [] : [smallest];
}

/** Powers of two up to a limit. */
const powers = (limit: number): number[] => Array.from({ length: Math.floor(Math.log2(limit)) + 1 }, (_, i) => 2 ** i);

/** Numbers of pieces of the loss that a plan or its advice tries. More pieces hardly lower the memory, because layers then need more. */
export const chunksToTry = (job: ResolvedJob): number[] =>
  job.recipe === undefined || job.recipe === "sft" ? [1, 4, 16].filter((count) => count <= mostLossChunks(job)) : [];

/** Twice and half as many parts of the batch, for the recipes that have the key. */
const microbatchesToTry = ({ recipe }: ResolvedJob, { microbatches }: PlanChoice): number[] =>
  recipe === undefined || recipe === "sft" ? [microbatches * 2, microbatches / 2].filter(Number.isInteger) : [];
