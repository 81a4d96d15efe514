import type { DatasetCard, RuleEffect } from "@lapidary/data-pipeline";
import { z } from "zod";

/**
 * The routes of training data: the outputs of the pipelines that ran with the state directory of the coordinator.
 *
 *     GET  /api/data                       datasetList, the last run first
 *     GET  /api/data/:id                   datasetCard, also while the pipeline runs
 *     POST /api/data/:id/whatif {change}   ruleEffect: exact, from the stored measures
 *     GET  /api/data/:id/card.html         the card as one file
 */

export type { DatasetCard, RuleEffect };
export type { LimitCard, StageCard } from "@lapidary/data-pipeline";

const datasetSummarySchema = z.object({
  id: z.string(),
  out: z.string(),
  file: z.string(),
  isRunning: z.boolean(),
  isPublished: z.boolean(),
  documents: z.number(),
  bytes: z.number(),
  tokens: z.number(),
  /** Tasks that are done, of all. */
  done: z.number(),
  total: z.number(),
  error: z.string().optional(),
});
export type DatasetSummary = z.infer<typeof datasetSummarySchema>;

export const datasetListSchema = z.object({ datasets: z.array(datasetSummarySchema) });
export type DatasetList = z.infer<typeof datasetListSchema>;

/** The form is that of `lapidary data card --json`. */
export const datasetCardSchema = z.looseObject({ file: z.string(), out: z.string(), isRunning: z.boolean(), isPublished: z.boolean() });

export const whatIfRequestSchema = z.strictObject({
  /** `gopher.words_min = 40`, or `NAME = CONDITION`. */
  change: z.string().min(1).max(4096),
});

/** The form is that of `lapidary data whatif --json`, with at most 20 ids of each kind. */
export const ruleEffectSchema = z.looseObject({
  change: z.string(),
  in: z.number(),
  kept: z.object({ before: z.number(), after: z.number() }),
  gained: z.array(z.string()),
  lost: z.array(z.string()),
});
