import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { checkCorpus, checkRequest, corpusSpec, type CorpusSpec, firstPieceId } from "@lapidary/data";
import { LapidaryError, type Warning } from "@lapidary/std";
import type { ResolvedJob } from "../job/resolved-job.js";
import { checkGivenTokenizer, givenTokenizer, newTokenizerWarnings, tokenizerRequest } from "../job/job-tokenizer.js";
import { checkInit } from "./check-init.js";

export interface InputCheckOptions {
  /** The directory whose `node_modules` is the default corpus. */
  readonly projectRoot: string;
  /** Where the job says a key: `file:line:column` or the override. */
  readonly placeOf?: (path: readonly string[]) => string;
  /** The directory of all runs, to recognise the name of a run where a checkpoint is asked for. */
  readonly runsDirectory?: string;
  /** False for a job that reads no corpus: an export without data. */
  readonly readsCorpus?: boolean;
  /** False for a run that goes on from a checkpoint of its own. */
  readonly readsInit?: boolean;
  /** False where the tokenizer that the job is given is read right after, or is that of the run. */
  readonly readsTokenizer?: boolean;
}

/** What a job's words for its corpus mean. */
export const corpusOf = ({ data }: ResolvedJob, projectRoot: string): CorpusSpec =>
  corpusSpec(data.corpus, {
    projectRoot,
    textField: data.text_field,
    ...(data.max_bytes === undefined ? {} : { maxBytes: data.max_bytes }),
  });

/**
 * Checks what a job reads on this machine: corpus, vocabulary, the checkpoint that it starts from and its tokenizer. Headers and the beginnings of files only,
 * some milliseconds, but for a tokenizer, which is read whole, in a thread; `lapidary config validate`, `launch`, the coordinator's API and the start of the job all call it, so that a job does not wait in the queue for
 * a mistake that is there already.
 *
 * @returns what was found and does not stop the job
 * @throws LapidaryError naming the key of the job file, and the file
 */
export async function checkInputs(job: ResolvedJob, options: InputCheckOptions): Promise<readonly Warning[]> {
  const { projectRoot, placeOf, readsCorpus = true, readsInit = true, readsTokenizer = true } = options;
  const { data, train } = job;
  if (readsCorpus) {
    checkVocabulary(job, placeOf);
    await at(["data", "held_out"], placeOf, () =>
      checkRequest({ corpus: corpusOf(job, projectRoot), tokenizer: tokenizerRequest(job), heldOutFraction: data.held_out }),
    );
    await at(["data", "corpus"], placeOf, () =>
      checkCorpus({ corpus: corpusOf(job, projectRoot), heldOutFraction: data.held_out, batch: train.batch, seq: train.seq }),
    );
  }
  const { init } = train;
  const warnings =
    init === undefined || !readsInit
      ? []
      : await at(["train", "init"], placeOf, async () => {
          try {
            return await checkInit(init, job.model.config);
          } catch (error) {
            throw error instanceof LapidaryError && error.code === "LAP_CHECKPOINT_MISSING"
              ? runInstead(error, init, options.runsDirectory)
              : error;
          }
        });
  if (!readsCorpus || !readsInit) return warnings;
  if (readsTokenizer && givenTokenizer(data, train) !== undefined)
    await at(data.tokenizer === undefined ? ["train", "init"] : ["data", "tokenizer"], placeOf, () => checkGivenTokenizer(job));
  return [...warnings, ...newTokenizerWarnings(job)];
}

/** The error, with another remedy if `train.init` names a run: its checkpoints are directories. */
function runInstead(error: LapidaryError, init: string, runsDirectory: string | undefined): LapidaryError {
  if (runsDirectory === undefined || existsSync(init)) return error;
  const checkpoints = join(runsDirectory, basename(init), "checkpoints");
  if (!existsSync(checkpoints)) return error;
  const steps = readdirSync(checkpoints).flatMap((name) => (/^step-\d+$/.test(name) ? [Number(name.slice("step-".length))] : []));
  const remedy =
    steps.length === 0
      ? `${basename(init)} is a run, which has no checkpoint yet: train.init takes the directory of a checkpoint`
      : `${basename(init)} is a run: train.init takes the directory of one of its checkpoints, such as ${join(checkpoints, `step-${Math.max(...steps)}`)}`;
  return error.with({ remedy });
}

/** A tokenizer of ours has 4 control tokens and a token for each byte. */
function checkVocabulary({ data, train, model }: ResolvedJob, placeOf: InputCheckOptions["placeOf"]): void {
  const { vocab } = data;
  if (vocab === undefined || vocab >= firstPieceId || givenTokenizer(data, train) !== undefined) return;
  const isModels = vocab === model.config.vocabSize;
  const path = isModels ? ["model", "vocab_size"] : ["data", "vocab"];
  throw new LapidaryError({
    code: "LAP_DATA_VOCABULARY",
    message: `the vocabulary has ${vocab} ids, and the tokenizer needs at least ${firstPieceId}: 4 control tokens and 256 bytes`,
    place: placeOfKey(path, placeOf),
    remedy: isModels
      ? `set model.vocab_size to ${firstPieceId} or more; data.vocab, if the job gives it, is at most as large`
      : `set data.vocab to ${firstPieceId} or more, or leave it out: it is model.vocab_size by default`,
  });
}

const placeOfKey = (path: readonly string[], placeOf: InputCheckOptions["placeOf"]): string => {
  const key = path.join(".");
  return placeOf === undefined ? key : `${placeOf(path)}: ${key}`;
};

/** Puts the key in front of the location of an error: `job.yaml:13:9: data.corpus: /data/book.txt`. */
async function at<T>(path: readonly string[], placeOf: InputCheckOptions["placeOf"], check: () => T | Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof LapidaryError)) throw error;
    const key = placeOfKey(path, placeOf);
    throw error.with({ place: error.place === undefined ? key : `${key}: ${error.place}` });
  }
}
