import { rematPolicies } from "@lapidary/compiler";
import { filterNames } from "@lapidary/data";
import { f32Number, pipelineOrders } from "@lapidary/models";
import { z } from "zod";
import { optimizerSchema, scheduleSchema } from "../optimizer/optimizer-config.js";
import { modelChangeSchema, podChangeSchema } from "./base-changes.js";
import { modelFileSchema } from "./model-file.js";
import { extentSchema, podFileSchema } from "./pod-file.js";

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** The name of a run. A directory and a queue entry have the same name. */
export const jobNamePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** What a run trains, or that it compares two models. */
const recipeNames = ["pretrain", "sft", "reward", "rl", "dpo", "compare"] as const;
export type RecipeName = (typeof recipeNames)[number];

/** A recipe that a user wrote: the path of its module. */
const recipePathSchema = z.templateLiteral([z.string(), z.enum([".mjs", ".js", ".mts", ".ts"])], {
  error: `expected one of ${recipeNames.join(", ")}, or the path of a module (.mjs, .js, .mts or .ts)`,
});
export type RecipePath = z.infer<typeof recipePathSchema>;

export const isRecipePath = (recipe: RecipeName | RecipePath | undefined): recipe is RecipePath =>
  recipe !== undefined && recipePathSchema.safeParse(recipe).success;

const trainSchema = z
  .strictObject({
    steps: count.describe("Optimizer steps"),
    batch: count.optional().describe("Rows of a batch, over all chips"),
    batch_per_chip: z
      .number()
      .positive()
      .max(2 ** 20)
      .optional()
      .describe("Rows for each chip; an alternative to batch"),
    microbatches: count
      .optional()
      .describe(
        "pretrain, sft: parts of the batch whose gradients are added before the one update of a step, so that only the activations of one part are in memory; 1 by default",
      ),
    gradient_sums: z
      .enum(["scattered", "whole"])
      .optional()
      .describe(
        "With microbatches: scattered reduces the gradients of each part onto the shards of ZeRO, whole adds them on every chip and reduces the sum once. scattered by default with zero 2 and 3, where whole needs more memory and sends less",
      ),
    seq: count.optional().describe("Tokens of a row; the model's context length by default"),
    optimizer: optimizerSchema,
    schedule: scheduleSchema.prefault({ name: "constant" }),
    clip: f32Number.positive().optional().describe("Largest global norm of the gradients"),
    guard: z
      .strictObject({
        not_finite: z
          .enum(["stop", "skip"])
          .default("stop")
          .describe("What to do if a loss or gradient is NaN or infinite: stop the run, or skip the batch"),
        spike: z.number().gt(1).optional().describe("Skip a batch whose loss exceeds this multiple of the mean of the last 20 steps"),
        max_skipped: count.default(10).describe("Maximum number of skipped batches; one more stops the run"),
      })
      .optional()
      .describe("What to do about batches that harm the run"),
    eval: z
      .strictObject({
        every: count.describe("Steps between evaluations"),
        batches: count.default(8).describe("Maximum number of held-out batches in one evaluation"),
      })
      .optional()
      .describe("Held-out loss; the run always evaluates at the end"),
    init: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Run, or directory of a Hugging Face checkpoint, of the same model to start from; only weights are read, the optimizer state starts at zero",
      ),
  })
  .refine(({ batch, batch_per_chip: perChip }) => (batch === undefined) !== (perChip === undefined), {
    path: ["batch"],
    error: "give one of batch and batch_per_chip",
  });

/** A file of examples. */
const examplesSchema = z.strictObject({
  path: z.string().min(1).describe("JSON lines or one JSON array of dialogues, prompts with answers, or texts; plain, gzip or zstd"),
  format: z.string().min(1).optional().describe("Format of the rows, such as messages or completion; their keys decide by default"),
  subset: z.string().min(1).optional().describe("Only the rows with this value of the key subset"),
});

const trainExamplesSchema = examplesSchema.extend({
  share: z.number().gt(0).max(1).optional().describe("Share of the examples of an epoch; by default each example is used once an epoch"),
});

/** A number of steps, or a share of `train.steps`. */
const stepsSchema = z.union([
  z.number().int().nonnegative(),
  z.string().regex(/^(?:100(?:\.0+)?|\d{1,2}(?:\.\d+)?)%$/, "must be a number of steps, or a share of train.steps such as 90%"),
]);

/** Weights of the sources of a pipeline from a step on. */
const mixtureStageSchema = z.strictObject({
  from: stepsSchema.describe("The first step, from 0, or a share of train.steps such as 90%"),
  ramp: stepsSchema.optional().describe("Steps in which the weights change linearly from those of the stage before; 0 by default"),
  weights: z.record(z.string().min(1), z.number().nonnegative()).describe("Weight of each source, on any scale; 0 by default"),
});

const passes = z.number().int().positive();

const dataSchema = z.strictObject({
  pipeline: z.string().min(1).optional().describe("Directory that `lapidary data run` wrote: token shards of several sources"),
  mixture: z
    .array(mixtureStageSchema)
    .min(1)
    .optional()
    .describe("Weights of the sources of data.pipeline, by step; in proportion to their tokens by default"),
  repeat: z
    .union([passes, z.record(z.string().min(1), passes)])
    .optional()
    .describe("How often the sources of data.pipeline may be read: a number for all, or numbers by source; once by default"),
  seed: z.number().int().optional().describe("Seed of the order of the rows of data.pipeline; seed by default"),
  train: z.array(trainExamplesSchema).min(1).optional().describe("sft, reward, dpo, rl: files of examples to train on"),
  eval: z
    .array(examplesSchema)
    .min(1)
    .optional()
    .describe(
      "sft, reward, dpo, rl: files of examples to evaluate on; by default held_out of the training examples. compare: files of prompts",
    ),
  path: z.string().min(1).optional().describe("compare: a file of prompts; a shorter form of eval"),
  pack: z.boolean().optional().describe("sft: a row holds several examples, which do not see each other; true by default"),
  filters: z
    .array(z.enum(filterNames))
    .optional()
    .describe("sft, reward, dpo, rl: filters that remove training examples, in order; none by default"),
  corpus: z
    .string()
    .min(1)
    .default("node_modules")
    .describe("node_modules (the text of the installed packages), or the path of a UTF-8 file, a directory or a JSONL file"),
  vocab: count
    .optional()
    .describe(
      "Vocabulary size of a tokenizer that is trained on the corpus; the model's vocabulary by default. For a given tokenizer it must equal its number of ids",
    ),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Run, directory of a checkpoint, or a tokenizer.json or tokenizer.model, whose tokenizer encodes the corpus; that of train.init by default. train: a new one is trained; its ids do not match the weights of train.init",
    ),
  held_out: z.number().gt(0).max(0.5).default(0.05).describe("Fraction of the text that is held out"),
  text_field: z.string().min(1).default("text").describe("Field of a JSONL object that holds the text"),
  max_bytes: count.optional().describe("Maximum size of the text from node_modules"),
});

/** The rows of a pipeline of training data, for a job that has no corpus and no examples. */
export const pipelineDataSchema = dataSchema
  .pick({ pipeline: true, mixture: true, repeat: true, seed: true, held_out: true })
  .required({ pipeline: true });

/** The projections of a block, by the names of a job file, and their modules. */
export const loraTargetModules = {
  q: "q_proj",
  k: "k_proj",
  v: "v_proj",
  o: "o_proj",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
} as const;
const loraTargetNames = ["q", "k", "v", "o", "gate", "up", "down"] as const satisfies readonly (keyof typeof loraTargetModules)[];

const loraSchema = z.strictObject({
  rank: z.number().int().min(1).max(4096).default(8).describe("Rank of the two matrices of a projection"),
  alpha: f32Number.positive().default(16).describe("The change of a projection is multiplied by alpha / rank"),
  targets: z
    .array(z.enum(loraTargetNames))
    .min(1)
    .default([...loraTargetNames])
    .describe("The projections that the adapter changes; all by default"),
});

const weightSchema = f32Number.default(1).describe("Weight of this source in the sum");

/** A source of rewards. */
const rewardSourceSchema = z.union([
  z.strictObject({
    model: z.string().min(1).describe("Run of the recipe reward, or directory of a checkpoint of one"),
    weight: weightSchema,
    shift: f32Number.default(0).describe("The score is (score − shift) · scale"),
    scale: f32Number.default(1).describe("The score is (score − shift) · scale"),
  }),
  z
    .object({
      checker: z
        .string()
        .min(1)
        .describe("exact, regex, number, json-schema, sorted, or the path of a .mjs file; its settings are further keys"),
      weight: weightSchema,
    })
    .catchall(z.union([z.string(), z.number(), z.boolean()])),
]);
export type RewardSourceFile = z.infer<typeof rewardSourceSchema>;

const ppoSchema = z.strictObject({
  gamma: z.number().min(0).max(1).default(1).describe("Discount of later rewards"),
  lambda: z
    .number()
    .min(0)
    .max(1)
    .default(0.95)
    .describe("Decay of generalized advantage estimation: 0 trusts the value model, 1 the rewards"),
  value_weight: f32Number.positive().default(0.1).describe("Weight of the loss of the value model"),
  value_clip: f32Number.positive().default(0.2).describe("Bound of the change of a value by the updates on a rollout"),
});

export const ppoDefaults = ppoSchema.parse({});

const clipBound = f32Number.positive().max(1);

/** A checker of completions; its settings are further keys. */
const checkSchema = z
  .object({
    checker: z
      .string()
      .min(1)
      .describe("exact, regex, number, json-schema, sorted, or the path of a .mjs file; its settings are further keys"),
  })
  .catchall(z.union([z.string(), z.number(), z.boolean()]));
export type CheckFile = z.infer<typeof checkSchema>;

const rlSchema = z.strictObject({
  algorithm: z.enum(["rloo", "reinforce", "grpo", "ppo"]).default("rloo").describe("How rewards become advantages"),
  generations: count.default(4).describe("Completions of each prompt"),
  rollout: z.strictObject({
    temperature: f32Number.positive().default(1).describe("Divides the logits"),
    max_new_tokens: count.describe("Tokens of a completion at most; the rest of train.seq is for the prompt"),
    weights: z
      .enum(["auto", "gathered", "sharded"])
      .default("auto")
      .describe("Shards of ZeRO-3: gathered once for a rollout, or sharded and gathered for every token; auto takes the faster that fits"),
  }),
  beta: f32Number.min(0).default(0.05).describe("Weight of the KL to the policy of init; for ppo, of the KL in the reward of each token"),
  iterations: z.number().int().min(1).max(64).default(1).describe("Updates on each rollout"),
  clip: z
    .union([clipBound, z.strictObject({ low: clipBound, high: f32Number.positive().max(10) })])
    .default(0.2)
    .describe("Bound of the change of a probability ratio; { low, high } bounds it from 1 − low to 1 + high"),
  truncated: z
    .union([z.enum(["mask", "score"]), z.strictObject({ penalty: f32Number })])
    .default("mask")
    .describe("Completions without an end: mask ignores them, score scores them as others, penalty is their score"),
  reduction: z.enum(["grpo", "dapo", "dr_grpo"]).optional().describe("grpo: how the losses of tokens are averaged; grpo by default"),
  kl_weight: z
    .boolean()
    .optional()
    .describe("grpo: whether the probability ratio multiplies the KL term, whose gradient then has no bias; true by default"),
  ppo: ppoSchema.optional().describe("ppo: value model and advantages"),
  check: checkSchema
    .optional()
    .describe(
      "A checker of completions to held-out prompts, at each evaluation. It trains nothing. The run warns if the reward rises while it falls",
    ),
  guard: z
    .strictObject({
      kl: z.number().positive().optional().describe("The run stops if the KL to the policy of init is larger, nats a token"),
      log_prob_gap: z.number().positive().optional().describe("The run stops if log-probabilities of sampler and trainer differ by more"),
    })
    .optional(),
});

const rewardModelSchema = z.strictObject({
  center: f32Number.min(0).default(0).describe("Weight of the mean of (chosen + rejected)², which keeps scores near 0"),
  margin: f32Number
    .default(0)
    .describe("The score of a chosen answer should exceed that of the rejected one by this much; the key margin of a row wins"),
});

const dpoSchema = z.strictObject({
  beta: f32Number.positive().default(0.1).describe("Strength of the pull to the policy of init"),
  loss: z.enum(["sigmoid", "ipo"]).default("sigmoid"),
  smoothing: z.number().min(0).lt(0.5).default(0).describe("sigmoid: share of pairs whose label may be wrong"),
});

export const dpoDefaults = dpoSchema.parse({});

/** Who decides which of two answers is better. */
const judgeSchema = z.union([
  z.strictObject({
    model: z.string().min(1).describe("Run, or directory of a checkpoint: the likeliest of the tokens A, B and C after the question"),
    template: z.string().min(1).optional().describe("File with the question"),
    seq: count.optional().describe("Tokens of a question at most; the context of the judge by default"),
  }),
  z.strictObject({ reward: z.string().min(1).describe("Run of the recipe reward, or directory of its checkpoint: the higher score wins") }),
  z.strictObject({ verdicts: z.string().min(1).describe("File of votes of people") }),
  z
    .object({
      checker: z
        .string()
        .min(1)
        .describe("exact, regex, number, json-schema, sorted, or the path of a .mjs file; its settings are further keys"),
    })
    .catchall(z.union([z.string(), z.number(), z.boolean()])),
]);
export type JudgeFile = z.infer<typeof judgeSchema>;

const compareSchema = z.strictObject({
  max_new_tokens: count.optional().describe("Tokens of an answer at most; 128 by default, or half of seq if that is less"),
  temperature: f32Number.min(0).max(100).default(0).describe("Divides the logits; 0 takes the likeliest token"),
  batch: count.optional().describe("Prompts that a model answers together; the mesh must divide it. 64 by default, or the next multiple"),
  seq: count.optional().describe("Tokens of a prompt and its answer at most; the model's context length by default"),
  rows: count.optional().describe("Only the first rows of each file"),
  optimum: z
    .strictObject({ beta: f32Number.positive().describe("Weight of the KL to the baseline in the training of the candidate") })
    .optional()
    .describe(
      "Reports the share of right answers and the KL of the best policy for a reward of 1 for the answer of a row, and 0 for others",
    ),
});
export const compareDefaults = compareSchema.parse({});

/** The dispatch of tokens to experts. */
const moeSchema = z
  .strictObject({
    dispatch: z
      .enum(["capacity", "dropless", "dense"])
      .optional()
      .describe(
        "capacity (default): each expert computes the first tokens of a row that chose it, up to its capacity, and drops the others. dropless: each expert computes all tokens that chose it. dense: every expert computes every token",
      ),
    capacity_factor: f32Number
      .positive()
      .optional()
      .describe("Capacity of an expert, as a multiple of its even share of a row; 1.25 by default. experts / per_token drops nothing"),
    imbalance: f32Number
      .min(1)
      .optional()
      .describe(
        "dropless: the rows of the chip with most of them that predictions assume, as a multiple of the mean; 1 by default. It changes no number of a run",
      ),
  })
  .refine(({ dispatch, capacity_factor }) => (dispatch ?? "capacity") === "capacity" || capacity_factor === undefined, {
    path: ["capacity_factor"],
    error: "is a key of dispatch: capacity, because the other dispatches drop no token",
  })
  .refine(({ dispatch, imbalance }) => dispatch === "dropless" || imbalance === undefined, {
    path: ["imbalance"],
    error: "is a key of dispatch: dropless, because the others compute equally many rows on every chip",
  });
export const defaultCapacityFactor = 1.25;

/** How attention uses the mesh axes that split the sequence, the default first. */
export const contextStrategyNames = ["all_gather", "heads", "ring"] as const;
export type ContextStrategyName = (typeof contextStrategyNames)[number];

/** Context parallelism: a row of tokens on several chips. */
const contextSchema = z.strictObject({
  strategy: z
    .enum(contextStrategyNames)
    .default("all_gather")
    .describe(
      "all_gather (default): each chip gathers the keys and values of a row. heads: all_to_alls give each chip all positions of some heads. ring: keys and values move from chip to chip, and no chip has all of them",
    ),
  balance: z
    .boolean()
    .optional()
    .describe(
      "true: each chip has an early and a late piece of every row, so that the causal mask leaves all chips the same work. false (default): consecutive positions",
    ),
});

/** The layers as stages on the mesh axis `stage`. `train.microbatches` parts of the batch are in the stages at the same time. */
const pipelineSchema = z.strictObject({
  order: z
    .enum(pipelineOrders)
    .default("gpipe")
    .describe(
      "gpipe: all microbatches forward, then all backward; M + S − 1 inputs of a stage are kept. 1f1b: a microbatch backward as soon as its last stage is done; 2S − 1 are kept. circular: gpipe with shorter ticks, because a microbatch passes the stages `repeats` times. zero_bubble: 1f1b, with gradients of weights in ticks in which no stage is idle",
    ),
  repeats: count
    .optional()
    .describe("circular: how often a microbatch passes all stages, each time through other layers; there must be at least S microbatches"),
  layers_per_stage: count
    .optional()
    .describe("Layers that a stage computes in a tick; by default the layers of the model, divided by the stages and repeats"),
});

const checkpointSchema = z.strictObject({
  every: count.optional().describe("Steps between checkpoints; the run always writes one at the end"),
  keep: count.default(3).describe("Number of newest checkpoints to keep"),
});

/** How the next token is drawn from its logits. */
export const samplingSchema = z.strictObject({
  temperature: z.number().min(0).max(100).default(0.8).describe("0 takes the likeliest token"),
  top_p: z.number().gt(0).max(1).default(0.95).describe("Smallest set of tokens of at least this probability"),
  top_k: count.optional().describe("Number of likeliest tokens to draw from"),
});

const sampleSchema = samplingSchema.extend({
  prompt: z.string().default("").describe("Text to continue; sft, rl, dpo: the turn of a user, which the model answers"),
  tokens: count.default(64).describe("Tokens to generate"),
});

const meshSchema = z
  .union([z.record(z.string().regex(/^[a-z][a-z0-9_]*$/, "must name a mesh axis: a-z 0-9 _, beginning with a letter"), count), z.string()])
  .describe("Axes and their sizes, major to minor: { data: 16, model: 16 }; their product is the number of chips");

export const rulesSchema = z
  .record(z.string(), z.union([z.string(), z.array(z.string()), z.null()]))
  .describe("Logical axis → mesh axis, list of them, or null; axes without an entry keep their default");

export const zeroSchema = z.literal([0, 1, 2, 3]);

/** A job file, as people write it. */
export const jobFileSchema = z.strictObject({
  name: z
    .string()
    .regex(jobNamePattern, "must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit")
    .optional()
    .describe("The file's name by default"),
  model: z
    .union([z.string().min(1), modelFileSchema, modelChangeSchema])
    .describe(
      "Name of a file of configs/models, a path, the directory of a Hugging Face checkpoint (its config.json), the model itself, or { base: gemma-2b, layers: 2 }: a change of another",
    ),
  pod: z
    .union([z.string().min(1), podFileSchema, podChangeSchema])
    .describe("Name of a file of configs/pods, a path, the pod itself, or { base: v5e-256, torus: 8x8 }: a change of another"),
  pods: z.number().int().min(1).max(64).default(1).describe("Number of pods, connected by the data-centre network"),
  slice: extentSchema.optional().describe("Rectangle of chips in each pod; the whole pod by default"),
  mesh: meshSchema.optional().describe("{ data: all chips } by default"),
  replicate: z
    .array(z.string())
    .optional()
    .describe("Mesh axes that replicate intentionally: no rule names them, and all chips along them compute the same"),
  strategy: z
    .string()
    .min(1)
    .optional()
    .describe("Name of a file of configs/strategies, or a path: rules and ZeRO stage that `rules` and `zero` change"),
  rules: rulesSchema.prefault({}),
  unapplied: rulesSchema
    .optional()
    .describe(
      "Rules of a strategy or of the defaults that had no effect, as `config show` writes them; they apply if mesh and dims allow it",
    ),
  zero: zeroSchema.optional().describe("ZeRO stage: 1 splits optimizer state over the data axes, 2 gradients too, 3 params too"),
  remat: z
    .enum(rematPolicies)
    .default("none")
    .describe(
      "What the backward pass recomputes: none keeps all activations, dots keeps matmuls, full keeps only the outputs of layers, offload also keeps the projections of attention on the host",
    ),
  loss_chunks: z
    .union([count, z.literal("auto")])
    .optional()
    .describe(
      "Pieces of the sequence in which a loss over logits is computed, so that only the logits of one piece are in memory; 1 by default. auto: the smallest number with which the step fits by `lapidary plan`",
    ),
  attention: z
    .enum(["flash", "plain"])
    .optional()
    .describe(
      "How the chips of `lapidary plan` compute attention: flash (default) as one kernel whose scores never reach HBM, plain as XLA compiles the exported program. Runs on this machine and exports do not depend on it",
    ),
  moe: moeSchema.optional().describe("How tokens reach the experts of a mixture of experts; every expert computes every token by default"),
  context: contextSchema.optional().describe("How attention uses the mesh axes that split the sequence; all_gather by default"),
  pipeline: pipelineSchema.optional().describe("How the stages of the mesh axis stage compute the microbatches; gpipe by default"),
  bucket_bytes: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(0)
    .describe("Equal collectives of small arrays are merged up to this many bytes a chip; 0: none are merged"),
  numerics: z.enum(["f32", "mxu"]).default("f32").describe("mxu multiplies in bf16 and adds in f32, as a TPU does"),
  executor: z.enum(["stacked", "chipwise"]).default("stacked").describe("chipwise computes each chip separately: the slow reference"),
  workers: z.number().int().min(1).max(256).optional().describe("Worker processes; one for each core by default"),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  stall_timeout_s: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe(
      "After this many seconds without an answer of any worker, and at least 20 times the longest step, workers that hang are killed and replaced",
    ),
  trace_every: z.number().int().min(0).default(100).describe("Steps between recorded traces, for `lapidary trace`; 0: none, 1: every step"),
  priority: z.number().int().min(-1000).max(1000).default(0).describe("Higher starts sooner"),
  recipe: z
    .union([recipePathSchema, z.enum(recipeNames)])
    .optional()
    .describe(
      "What the run trains: pretrain (default) on text, sft on examples with answers, reward and dpo on preferences, rl on prompts, or what the module of a path says. compare trains nothing: two models answer prompts",
    ),
  recipe_hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "expected the hash that `config show` writes")
    .optional()
    .describe("Hash of the module of the recipe and of its relative imports, as `config show` writes it; the run refuses another module"),
  options: z.record(z.string(), z.json()).optional().describe("The options that the module of the recipe declares"),
  sets: z
    .record(z.string().regex(/^[a-z][a-z0-9_]*$/, "must name a parameter set: a-z 0-9 _, beginning with a letter"), z.string().min(1))
    .optional()
    .describe("The frozen parameter sets that the module of the recipe names: a run, or the directory of a checkpoint, of each"),
  init: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Run, or directory of a checkpoint, to start from: a shorter form of train.init. The name of a run means its last checkpoint",
    ),
  train: trainSchema.optional(),
  data: dataSchema.prefault({}),
  lora: loraSchema
    .optional()
    .describe("sft, reward, dpo, rl: trains this adapter; the weights of the model stay as they are, and are the reference of dpo and rl"),
  reward: z.array(rewardSourceSchema).min(1).max(16).optional().describe("rl: sources of the reward, which is their weighted sum"),
  rl: rlSchema.optional().describe("rl: algorithm and rollout"),
  dpo: dpoSchema.optional().describe("dpo: loss"),
  reward_model: rewardModelSchema.optional().describe("reward: loss"),
  candidate: z.string().min(1).optional().describe("compare: run, or directory of a checkpoint, that is compared with the baseline"),
  baseline: z.string().min(1).optional().describe("compare: run, or directory of a checkpoint"),
  judge: judgeSchema.optional().describe("compare: who decides which answer is better; without it, answers and losses are reported only"),
  orders: z.enum(["both", "shuffled"]).optional().describe("compare: orders in which a judge sees two answers; both by default"),
  compare: compareSchema.optional().describe("compare: answers and report"),
  checkpoint: checkpointSchema.prefault({}),
  sample: sampleSchema.optional().describe("Text to generate at the end"),
});
export type JobFile = z.infer<typeof jobFileSchema>;

/** JSON Schema of job files, for editors. */
export const jobJsonSchema = (): Record<string, unknown> => z.toJSONSchema(jobFileSchema, { io: "input" });
