import { z } from "zod";
import { count, floatSchema } from "./api-values.js";

const float = floatSchema;
const list = <T extends z.ZodType>(of: T): z.ZodReadonly<z.ZodArray<T>> => z.array(of).readonly();
const bySubset = <T extends z.ZodType>(of: T): z.ZodReadonly<z.ZodRecord<z.ZodString, T>> => z.record(z.string(), of).readonly();
const ofBoth = <T extends z.ZodType>(of: T): z.ZodObject<{ candidate: T; baseline: T }> => z.object({ candidate: of, baseline: of });
const interval = z.tuple([float, float]).readonly();

const modelSchema = z.object({
  name: z.string(),
  directory: z.string(),
  run: z.string().nullable(),
  step: count.nullable(),
  architecture: z.string(),
  form: z.enum(["turns", "raw"]),
  context: count,
});
export type ModelReport = z.infer<typeof modelSchema>;

const sourceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("none") }),
  z.object({ kind: z.literal("checker"), checker: z.string() }),
  z.object({ kind: z.literal("judge"), judge: modelSchema, template: z.string(), orders: z.enum(["both", "shuffled"]) }),
  z.object({ kind: z.literal("reward"), reward: z.string() }),
  z.object({ kind: z.literal("verdicts"), file: z.string() }),
]);
export type SourceReport = z.infer<typeof sourceSchema>;

/** Fields that only a judge gives are null for other sources. */
const winSchema = z.object({
  wins: count,
  ties: count,
  losses: count,
  n: count,
  rate: float,
  normal95: interval,
  wilson95: interval,
  sign_test_p: float,
  /** Mean scores of a checker or a reward model. */
  scores: ofBoth(float).nullable(),
  /** Prompts whose answers are equal, so that the judge was not asked. */
  equal_answers: count,
  contradictions: count.nullable(),
  /** Of the prompts that the judge was asked about. */
  contradiction_share: float.nullable(),
  first_share: float.nullable(),
  mean_mass: float.nullable(),
  /** Characters. */
  winner_mean_length: float.nullable(),
  loser_mean_length: float.nullable(),
  longer_share: float,
});
export type WinReport = z.infer<typeof winSchema>;

const answersSchema = z.object({
  /** Characters. */
  mean_length: float,
  mean_tokens: float,
  /** Share of answers that reached the maximum number of tokens. */
  cut_off_share: float,
});
export type AnswerReport = z.infer<typeof answersSchema>;

/** Nats per token. */
const lossSchema = z.object({ candidate: float, baseline: float, candidate_tokens: count, baseline_tokens: count });
export type LossReport = z.infer<typeof lossSchema>;

const sampleSchema = z.object({
  id: z.string(),
  prompt: z.string(),
  candidate: z.string(),
  baseline: z.string(),
  outcome: z.enum(["win", "tie", "loss"]).nullable(),
});
export type ComparedSample = z.infer<typeof sampleSchema>;

/** The divergence of the candidate from the baseline: the mean of log candidate(answer) − log baseline(answer) over answers of the candidate. */
const divergenceSchema = z.object({ nats_per_answer: float, standard_error: float });

/** The best policy for a reward of 1 for the answer of a row and 0 for others, with a KL to the baseline of weight `beta`. */
const optimumSchema = z.object({
  beta: float,
  /** Mean probability that the baseline gives the answer of the row. */
  baseline_probability: float,
  accuracy: float,
  kl: float,
});

/** The results of one file. Values by subset have the subsets of the rows as keys. */
const setSchema = z.object({
  data: z.string(),
  /** Prompts that both models answered. */
  prompts: count,
  /** Prompts without a verdict; 0 without a source of verdicts. */
  unjudged: count,
  /** Why the first prompt without a verdict has none. */
  unjudged_reason: z.string().nullable(),
  refused: list(z.object({ file: z.string(), row: count, code: z.string(), reason: z.string(), remedy: z.string() })),
  result: winSchema.nullable(),
  result_by_subset: bySubset(winSchema),
  answers: ofBoth(answersSchema).nullable(),
  /** Null unless the answers are samples of temperature 1, and both models have one tokenizer. */
  divergence: divergenceSchema.nullable(),
  optimum: optimumSchema.nullable(),
  loss: lossSchema.nullable(),
  /** Rows that have an answer whose loss is not measured, because the prompt is too long. */
  unmeasured: count,
  loss_by_subset: bySubset(lossSchema),
  samples: list(sampleSchema),
});
export type SetReport = z.infer<typeof setSchema>;

/** What `lapidary compare` and a job of the recipe compare report. */
export const modelComparisonSchema = z.object({
  candidate: modelSchema,
  baseline: modelSchema,
  source: sourceSchema,
  seed: count,
  temperature: float,
  max_tokens: count,
  sets: list(setSchema),
  warnings: list(z.object({ code: z.string(), message: z.string(), place: z.string().optional(), remedy: z.string() })),
});
export type ModelComparison = z.infer<typeof modelComparisonSchema>;
