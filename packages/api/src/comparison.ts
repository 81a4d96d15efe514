import { z } from "zod";
import { count, floatSchema } from "./api-values.js";

/**
 * The report of a comparison of two models, as `lapidary compare --json` prints it: the part that the dashboard shows. Other keys are kept out.
 */

const share = floatSchema.nullable();
const intervalSchema = z.tuple([floatSchema, floatSchema]);

const winSchema = z.object({
  wins: count,
  ties: count,
  losses: count,
  n: count,
  /** (wins + ties / 2) / n */
  rate: floatSchema,
  normal95: intervalSchema,
  wilson95: intervalSchema,
  sign_test_p: floatSchema,
  scores: z.object({ candidate: floatSchema, baseline: floatSchema }).nullable().default(null),
  equal_answers: count.default(0),
  contradictions: count.nullable().default(null),
  contradiction_share: share.default(null),
  first_share: share.default(null),
  winner_mean_length: share.default(null),
  loser_mean_length: share.default(null),
  longer_share: share.default(null),
});
export type WinResult = z.infer<typeof winSchema>;

const lossSchema = z.object({ candidate: floatSchema, baseline: floatSchema });
const modelSchema = z.object({ name: z.string(), run: z.string().nullable().default(null), step: count.nullable().default(null) });
const answersSchema = z.object({ mean_length: floatSchema, mean_tokens: floatSchema, cut_off_share: floatSchema });

const setSchema = z.object({
  data: z.string(),
  prompts: count,
  unjudged: count.default(0),
  unjudged_reason: z.string().nullable().default(null),
  result: winSchema.nullable(),
  result_by_subset: z.record(z.string(), winSchema).default({}),
  answers: z.object({ candidate: answersSchema, baseline: answersSchema }).nullable().default(null),
  /** Absent instead of null: null at a key of this name means NaN in responses of the coordinator. */
  loss: lossSchema.nullish().transform((loss) => loss ?? undefined),
  loss_by_subset: z.record(z.string(), lossSchema).default({}),
  /** Of the candidate from the baseline. */
  divergence: z.object({ nats_per_answer: floatSchema, standard_error: floatSchema }).nullish(),
  /** The best policy for the reward of the checker, with a KL to the baseline of weight `beta`. */
  optimum: z.object({ beta: floatSchema, accuracy: floatSchema, kl: floatSchema }).nullish(),
  samples: z
    .array(
      z.object({
        id: z.string(),
        prompt: z.string(),
        candidate: z.string(),
        baseline: z.string(),
        outcome: z.enum(["win", "tie", "loss"]).nullable(),
      }),
    )
    .default([]),
});
export type ComparedSet = z.infer<typeof setSchema>;

/** How the verdicts were made. Kinds of later versions are kept. */
const sourceSchema = z.looseObject({ kind: z.string() });

export const comparisonSchema = z.object({
  candidate: modelSchema,
  baseline: modelSchema,
  source: sourceSchema,
  sets: z.array(setSchema),
});
export type Comparison = z.infer<typeof comparisonSchema>;

/** The comparison in a report of a run, or undefined if it has none. */
export function comparisonOf(report: unknown): Comparison | undefined {
  const inside = (report as { comparison?: unknown } | null | undefined)?.comparison;
  return comparisonSchema.safeParse(inside ?? report).data;
}
