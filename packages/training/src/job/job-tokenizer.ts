import { type TokenizerRequest } from "@lapidary/data";
import { inspectTokenizer, otherVocabulary, tokenizerTooLarge } from "@lapidary/tokenizer";
import type { Warning } from "@lapidary/std";
import type { JobFile } from "./job-schema.js";
import type { ResolvedJob } from "./resolved-job.js";

/** `data.tokenizer: train` requests a new tokenizer, even if weights come from a checkpoint. */
export const newTokenizer = "train";

/** The path of the tokenizer that a job names, directly or with `train.init`. Undefined: a tokenizer is trained on the corpus. */
export function givenTokenizer(
  data: Pick<JobFile["data"], "tokenizer">,
  train: { readonly init?: string | undefined },
): string | undefined {
  return data.tokenizer === newTokenizer ? undefined : (data.tokenizer ?? train.init);
}

/** The tokenizer that a job requests. */
export function tokenizerRequest({ data, train, model }: Pick<ResolvedJob, "data" | "train" | "model">): TokenizerRequest {
  const path = givenTokenizer(data, train);
  return path === undefined ? { kind: "train", vocabSize: data.vocab ?? model.config.vocabSize } : { kind: "given", path };
}

/**
 * Checks that every id of a given tokenizer has a row in the embedding, and that `data.vocab` equals the number of ids.
 *
 * @param ids of the tokenizer
 * @throws LAP_TOKENIZER_VOCAB
 */
export function checkTokenizerSize(job: Pick<ResolvedJob, "data" | "train" | "model">, ids: number): void {
  const path = givenTokenizer(job.data, job.train);
  if (path === undefined) return;
  const { vocab } = job.data;
  if (vocab !== undefined && vocab !== ids) throw otherVocabulary(path, vocab, ids);
  const { vocabSize } = job.model.config;
  if (ids > vocabSize) throw tokenizerTooLarge(path, ids, vocabSize);
}

/**
 * Reads the given tokenizer of a job, so that an unusable tokenizer is an error before the job runs.
 *
 * @throws LAP_CHECKPOINT_TOKENIZER, LAP_TOKENIZER_…, LAP_DATA_TOKENIZER
 */
export async function checkGivenTokenizer(job: Pick<ResolvedJob, "data" | "train" | "model">): Promise<void> {
  const path = givenTokenizer(job.data, job.train);
  if (path !== undefined) checkTokenizerSize(job, (await inspectTokenizer(path)).vocabSize);
}

/** The warning for a job that requests a new tokenizer for weights that were trained with another. */
export function newTokenizerWarnings({ data, train }: Pick<ResolvedJob, "data" | "train">): readonly Warning[] {
  if (data.tokenizer !== newTokenizer || train.init === undefined) return [];
  return [
    {
      code: "LAP_TOKENIZER_NEW",
      message: "data.tokenizer=train trains a new tokenizer: its ids do not match the embedding of train.init",
      place: "data.tokenizer",
      remedy: "remove data.tokenizer to encode the corpus with the tokenizer of train.init",
    },
  ];
}
