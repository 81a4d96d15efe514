import { rematPolicies } from "@lapidary/compiler";
import { f32Number } from "@lapidary/models";
import { z } from "zod";
import { optimizerSchema, scheduleSchema } from "../optimizer/optimizer-config.js";
import { modelFileSchema } from "./model-file.js";
import { extentSchema, podFileSchema } from "./pod-file.js";

const count = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** A run's name is also that of a directory and of a queue entry. */
export const jobNamePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

const trainSchema = z
  .strictObject({
    steps: count.describe("Optimizer steps"),
    batch: count.optional().describe("Rows of a batch, over all chips"),
    batch_per_chip: z
      .number()
      .positive()
      .max(2 ** 20)
      .optional()
      .describe("Instead of batch: rows for each chip, whatever their number"),
    seq: count.optional().describe("Tokens of a row; the model's context length by default"),
    optimizer: optimizerSchema,
    schedule: scheduleSchema.prefault({ name: "constant" }),
    clip: f32Number.positive().optional().describe("Largest global norm of the gradients"),
    guard: z
      .strictObject({
        not_finite: z.enum(["stop", "skip"]).default("stop").describe("A loss or gradient that is no number: stop, or leave the batch out"),
        spike: z.number().gt(1).optional().describe("A loss so many times the mean of the last 20 steps: the batch is left out"),
        most: count.default(10).describe("Batches of a run that may be left out; one more stops it"),
      })
      .optional()
      .describe("What is done about batches that harm the run"),
    eval: z
      .strictObject({
        every: count.describe("Steps between evaluations"),
        batches: count.default(8).describe("Held-out batches of one evaluation, if there are as many"),
      })
      .optional()
      .describe("Held-out loss; one evaluation at the end comes anyway"),
    init: z
      .string()
      .min(1)
      .optional()
      .describe("Directory of a Hugging Face checkpoint of the same model to start from; weights alone, the optimizer begins anew"),
  })
  .refine(({ batch, batch_per_chip: perChip }) => (batch === undefined) !== (perChip === undefined), {
    path: ["batch"],
    error: "give one of batch and batch_per_chip",
  });

const dataSchema = z.strictObject({
  corpus: z
    .string()
    .min(1)
    .default("node_modules")
    .describe("node_modules (the text of the installed packages), or the path of a UTF-8 file, a directory or a JSONL file"),
  vocab: count
    .optional()
    .describe(
      "Ids of the tokenizer that is trained on the corpus; the model's vocabulary by default. Of a given tokenizer it must be the number of ids",
    ),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Directory of a checkpoint, or a tokenizer.json, whose tokenizer encodes the corpus; that of train.init by default. train: a new one is trained, whose ids mean nothing to weights of train.init",
    ),
  held_out: z.number().gt(0).max(0.5).default(0.05).describe("Share of the text that is held out"),
  text_field: z.string().min(1).default("text").describe("Field of a JSONL object that holds the text"),
  max_bytes: count.optional().describe("Text taken from node_modules, at most"),
});

const checkpointSchema = z.strictObject({
  every: count.optional().describe("Steps between checkpoints; one at the end comes anyway"),
  keep: count.default(3).describe("Newest checkpoints that are kept"),
});

/** How the next token is drawn from its logits. */
export const samplingSchema = z.strictObject({
  temperature: z.number().min(0).max(100).default(0.8).describe("0 takes the likeliest token"),
  top_p: z.number().gt(0).max(1).default(0.95).describe("Smallest set of tokens of at least this probability"),
  top_k: count.optional().describe("The likeliest tokens, at most so many"),
});

const sampleSchema = samplingSchema.extend({
  prompt: z.string().default("").describe("Text to go on from"),
  tokens: count.default(64).describe("Tokens to generate"),
});

const meshSchema = z
  .union([z.record(z.string().regex(/^[a-z][a-z0-9_]*$/, "must name a mesh axis: a-z 0-9 _, beginning with a letter"), count), z.string()])
  .describe("Axes and their sizes, major to minor: { data: 16, model: 16 }; their product is the number of chips");

export const rulesSchema = z
  .record(z.string(), z.union([z.string(), z.array(z.string()), z.null()]))
  .describe("Logical axis → mesh axis, list of them, or null; what is not named keeps its default");

export const zeroSchema = z.literal([0, 1, 2, 3]);

/** A job file, as people write it. */
export const jobFileSchema = z.strictObject({
  name: z
    .string()
    .regex(jobNamePattern, "must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit")
    .optional()
    .describe("The file's name by default"),
  model: z.union([z.string().min(1), modelFileSchema]).describe("Name of a file of configs/models, a path, or the model itself"),
  pod: z.union([z.string().min(1), podFileSchema]).describe("Name of a file of configs/pods, a path, or the pod itself"),
  pods: z.number().int().min(1).max(64).default(1).describe("Pods that the job spans, joined over the data-centre network"),
  slice: extentSchema.optional().describe("Rectangle of each pod; the whole pod by default"),
  mesh: meshSchema.optional().describe("{ data: all chips } by default"),
  replicate: z
    .array(z.string())
    .optional()
    .describe("Mesh axes that hold copies on purpose: no rule names them, and all chips along them do the same"),
  strategy: z
    .string()
    .min(1)
    .optional()
    .describe("Name of a file of configs/strategies, or a path: rules and ZeRO stage that `rules` and `zero` change"),
  rules: rulesSchema.prefault({}),
  unapplied: rulesSchema
    .optional()
    .describe(
      "Rules of a strategy or of the defaults that had no effect, as `config show` writes them; they apply once mesh and dims allow it",
    ),
  zero: zeroSchema.optional().describe("ZeRO stage: 1 splits optimizer state over the data axes, 2 gradients too, 3 params too"),
  remat: z
    .enum(rematPolicies)
    .default("none")
    .describe(
      "What the backward pass computes again: none keeps everything, dots keeps the products, full only what leaves a layer, offload also attention's projections on the host",
    ),
  bucket_bytes: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(0)
    .describe("Collectives that do the same to equal small arrays cross as one, up to so many bytes a chip together; 0: each alone"),
  numerics: z.enum(["f32", "mxu"]).default("f32").describe("mxu multiplies in bf16 and adds in f32, as a TPU does"),
  executor: z.enum(["stacked", "chipwise"]).default("stacked").describe("chipwise runs one value per chip: the slow reference"),
  workers: z.number().int().min(1).max(256).optional().describe("Worker processes; one a core by default"),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  stall_after: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe("Seconds without an answer of any worker, and 20 of the longest step, after which those that hang are ended and replaced"),
  trace_every: z
    .number()
    .int()
    .min(0)
    .default(100)
    .describe("One step in so many is recorded call by call, for `lapidary trace`; 0: none, 1: every one"),
  priority: z.number().int().min(-1000).max(1000).default(0).describe("Higher starts sooner"),
  train: trainSchema,
  data: dataSchema.prefault({}),
  checkpoint: checkpointSchema.prefault({}),
  sample: sampleSchema.optional().describe("Text to generate at the end"),
});
export type JobFile = z.infer<typeof jobFileSchema>;

/** JSON Schema of job files, for editors. */
export const jobJsonSchema = (): Record<string, unknown> => z.toJSONSchema(jobFileSchema, { io: "input" });
