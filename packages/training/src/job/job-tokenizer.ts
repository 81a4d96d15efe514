import { inspectTokenizer, otherVocabulary, type TokenizerRequest, tokenizerTooLarge } from "@lapidary/data";
import type { JobFile } from "./job-schema.js";
import type { ResolvedJob } from "./resolved-job.js";

/** `data.tokenizer: train` asks for a new tokenizer, even where weights come from a checkpoint. */
export const trainedTokenizer = "train";

/** The path of the tokenizer that a job is given: its own, or that of the weights it starts from. Undefined: one is trained on the corpus. */
export function givenTokenizer(
  data: Pick<JobFile["data"], "tokenizer">,
  train: { readonly init?: string | undefined },
): string | undefined {
  return data.tokenizer === trainedTokenizer ? undefined : (data.tokenizer ?? train.init);
}

/** The tokenizer that a job asks for. */
export function tokenizerRequest({ data, train, model }: Pick<ResolvedJob, "data" | "train" | "model">): TokenizerRequest {
  const path = givenTokenizer(data, train);
  return path === undefined ? { kind: "train", vocabSize: data.vocab ?? model.config.vocabSize } : { kind: "given", path };
}

/**
 * Checks that every id of a given tokenizer has a row in the embedding, and that the job asks for no other number of ids.
 *
 * @param ids of the tokenizer
 * @throws LAP_TOKENIZER_VOCAB
 */
export function checkTokenizerSize(job: Pick<ResolvedJob, "data" | "train" | "model">, ids: number): void {
  const path = givenTokenizer(job.data, job.train);
  if (path === undefined) return;
  const place = `${job.data.tokenizer === undefined ? "train.init" : "data.tokenizer"}: ${path}`;
  const { vocab } = job.data;
  if (vocab !== undefined && vocab !== ids) throw otherVocabulary(`data.vocab: ${vocab} (${place})`, vocab, ids);
  const { vocabSize } = job.model.config;
  if (ids > vocabSize) throw tokenizerTooLarge(place, ids, vocabSize);
}

/**
 * Reads the tokenizer that a job is given, to refuse before the job runs what it could not be encoded with.
 *
 * @throws LAP_CHECKPOINT_TOKENIZER, LAP_TOKENIZER_…, LAP_DATA_TOKENIZER
 */
export async function checkGivenTokenizer(job: Pick<ResolvedJob, "data" | "train" | "model">): Promise<void> {
  const path = givenTokenizer(job.data, job.train);
  if (path !== undefined) checkTokenizerSize(job, (await inspectTokenizer(path)).vocabSize);
}
