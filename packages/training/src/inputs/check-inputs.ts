import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { checkCorpus, checkExampleFile, checkRequest, corpusSpec, type CorpusSpec, type RowsRequest } from "@lapidary/data";
import { firstPieceId } from "@lapidary/tokenizer";
import { HfCheckpoint } from "@lapidary/interop";
import { isSystemError, LapidaryError, systemError, type Warning } from "@lapidary/std";
import { checkPipelineData } from "./pipeline-data.js";
import { type ResolvedJob, trainsOnExamples, trainsOnPipeline } from "../job/resolved-job.js";
import { checkGivenTokenizer, givenTokenizer, newTokenizerWarnings, tokenizerRequest } from "../job/job-tokenizer.js";
import { checkRewardModel } from "./check-reward.js";
import { checkParameterSet } from "./check-parameter-set.js";
import { checkInit } from "./check-init.js";
import { runReferences } from "../job/run-references.js";

export interface InputCheckOptions {
  /** The directory whose `node_modules` is the default corpus. */
  readonly projectRoot: string;
  /** The location of a key of the job: `file:line:column` or the override. */
  readonly locationOf?: (path: readonly string[]) => string;
  /** The directory of all runs, to recognise the name of a run in `train.init`. */
  readonly runsDirectory?: string;
  /** False for a job that does not read the corpus: an export without data. */
  readonly readsCorpus?: boolean;
  /** False for a run that resumes from its own checkpoint. */
  readonly readsInit?: boolean;
  /** Whether a run that the job names writes its checkpoints later. The start of the job checks them. By default none does. */
  readonly isPending?: (run: string) => boolean;
  /** False if the caller reads the given tokenizer itself, or if the run has its own. */
  readonly readsTokenizer?: boolean;
}

/** The corpus of a job. */
export const corpusOf = ({ data }: ResolvedJob, projectRoot: string): CorpusSpec =>
  corpusSpec(data.corpus, {
    projectRoot,
    textField: data.text_field,
    ...(data.max_bytes === undefined ? {} : { maxBytes: data.max_bytes }),
  });

/**
 * Checks the inputs of a job on this machine: corpus, vocabulary, initial checkpoint and tokenizer. It reads only headers and the first bytes of files, but a
 * whole tokenizer, in a thread. `lapidary config validate`, `launch`, the coordinator's API and the start of the job call it, so that mistakes are reported
 * before the job waits in the queue.
 *
 * @returns findings that do not stop the job
 * @throws LapidaryError naming the key of the job file, and the file
 */
export async function checkInputs(job: ResolvedJob, options: InputCheckOptions): Promise<readonly Warning[]> {
  const { projectRoot, locationOf, readsCorpus = true, readsInit = true, readsTokenizer = true, isPending = () => false } = options;
  const { data, train } = job;
  if (readsCorpus && trainsOnExamples(job)) await checkExamples(job, locationOf);
  if (readsCorpus && data.pipeline !== undefined && !isPending(data.pipeline))
    await withKeyLocation(["data", "pipeline"], locationOf, () => checkPipelineData(job));
  if (readsCorpus && !trainsOnExamples(job) && !trainsOnPipeline(job)) {
    checkVocabulary(job, locationOf);
    await withKeyLocation(["data", "held_out"], locationOf, () =>
      checkRequest({ corpus: corpusOf(job, projectRoot), tokenizer: tokenizerRequest(job), heldOutFraction: data.held_out }),
    );
    await withKeyLocation(["data", "corpus"], locationOf, () =>
      checkCorpus({ corpus: corpusOf(job, projectRoot), heldOutFraction: data.held_out, batch: train.batch, seq: train.seq }),
    );
  }
  for (const { path, run, kind } of runReferences(job)) {
    if (isPending(run)) continue;
    if (kind === "reward model") await withKeyLocation(path, locationOf, () => checkRewardModel(run));
    if (kind === "parameter set") await withKeyLocation(path, locationOf, () => checkParameterSet(run, job.model.config));
    if (kind === "judge") await withKeyLocation(path, locationOf, () => checkModelHeader(run));
    // Those of `train.init` are checked below.
    if (kind === "model" && path[0] !== "train") await withKeyLocation(path, locationOf, () => checkInit(run, job.model.config));
  }
  await checkJudgeFiles(job, locationOf);
  const { init } = train;
  const initIsPending = init !== undefined && isPending(init);
  const warnings =
    init === undefined || !readsInit || initIsPending
      ? []
      : await withKeyLocation(["train", "init"], locationOf, async () => {
          try {
            return await checkInit(init, job.model.config);
          } catch (error) {
            throw error instanceof LapidaryError && error.code === "LAP_CHECKPOINT_MISSING"
              ? suggestCheckpointOfRun(error, init, options.runsDirectory)
              : error;
          }
        });
  if (!readsCorpus || !readsInit || trainsOnPipeline(job)) return warnings;
  const tokenizerIsPending = initIsPending && data.tokenizer === undefined;
  if (readsTokenizer && !tokenizerIsPending && givenTokenizer(data, train) !== undefined)
    await withKeyLocation(data.tokenizer === undefined ? ["train", "init"] : ["data", "tokenizer"], locationOf, () =>
      checkGivenTokenizer(job),
    );
  return [...warnings, ...newTokenizerWarnings(job)];
}

/** The error with another remedy if `train.init` names a run instead of the directory of a checkpoint. */
function suggestCheckpointOfRun(error: LapidaryError, init: string, runsDirectory: string | undefined): LapidaryError {
  if (runsDirectory === undefined || existsSync(init)) return error;
  const checkpoints = join(runsDirectory, basename(init), "checkpoints");
  if (!existsSync(checkpoints)) return error;
  const steps = readdirSync(checkpoints).flatMap((name) => (/^step-\d+$/.test(name) ? [Number(name.slice("step-".length))] : []));
  const remedy =
    steps.length === 0
      ? `${basename(init)} is a run without a checkpoint yet: train.init takes the directory of a checkpoint`
      : `${basename(init)} is a run: train.init takes the directory of one of its checkpoints, such as ${join(checkpoints, `step-${Math.max(...steps)}`)}`;
  return error.with({ remedy });
}

/** Reads the headers of a model that another model may differ from. */
async function checkModelHeader(directory: string): Promise<void> {
  const checkpoint = await HfCheckpoint.open(directory, "headers");
  await checkpoint.close();
}

/** The files of a judge are read when the comparison starts. Here only their presence is checked. */
async function checkJudgeFiles({ judge }: ResolvedJob, locationOf: InputCheckOptions["locationOf"]): Promise<void> {
  const { template, verdicts } = (judge ?? {}) as Readonly<Record<string, string | undefined>>;
  for (const [key, path] of Object.entries({ template, verdicts }))
    if (path !== undefined)
      await withKeyLocation(["judge", key], locationOf, () => {
        try {
          accessSync(path, constants.R_OK);
        } catch (error) {
          throw isSystemError(error) ? systemError(error, { doing: `read the ${key}`, place: path }) : error;
        }
      });
}

/** Files of examples are read in the thread that prepares them. Here only their names, sizes and formats are checked. */
async function checkExamples({ data }: ResolvedJob, locationOf: InputCheckOptions["locationOf"]): Promise<void> {
  for (const key of ["train", "eval"] as const)
    await withKeyLocation(["data", key], locationOf, () => {
      for (const { path, format } of data[key] ?? []) checkExampleFile(path, format);
    });
}

/**
 * The request for the dataset of a job that trains on examples.
 *
 * @param tokenizer the directory of its tokenizer
 */
export const rowsRequestOf = ({ data, train }: ResolvedJob, tokenizer: string): RowsRequest => ({
  train: data.train ?? [],
  ...(data.eval === undefined ? {} : { evaluation: data.eval }),
  heldOutFraction: data.held_out,
  filters: data.filters ?? [],
  pack: data.pack ?? true,
  seq: train.seq,
  tokenizer,
});

/** A trained tokenizer has 4 control tokens and a token for each byte. */
function checkVocabulary({ data, train, model }: ResolvedJob, locationOf: InputCheckOptions["locationOf"]): void {
  const { vocab } = data;
  if (vocab === undefined || vocab >= firstPieceId || givenTokenizer(data, train) !== undefined) return;
  const isModels = vocab === model.config.vocabSize;
  const path = isModels ? ["model", "vocab_size"] : ["data", "vocab"];
  throw new LapidaryError({
    code: "LAP_DATA_VOCABULARY",
    message: `the vocabulary has ${vocab} ids; the tokenizer needs at least ${firstPieceId}: 4 control tokens and 256 bytes`,
    location: keyLocation(path, locationOf),
    remedy: isModels
      ? `set model.vocab_size to ${firstPieceId} or more; data.vocab, if set, must not be larger`
      : `set data.vocab to ${firstPieceId} or more, or remove it: the default is model.vocab_size by default`,
  });
}

const keyLocation = (path: readonly string[], locationOf: InputCheckOptions["locationOf"]): string => {
  const key = path.join(".");
  return locationOf === undefined ? key : `${locationOf(path)}: ${key}`;
};

/** Prepends the key to the location of an error: `job.yaml:13:9: data.corpus: /data/book.txt`. */
async function withKeyLocation<T>(
  path: readonly string[],
  locationOf: InputCheckOptions["locationOf"],
  check: () => T | Promise<T>,
): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof LapidaryError)) throw error;
    const key = keyLocation(path, locationOf);
    throw error.with({ location: error.location === undefined ? key : `${key}: ${error.location}` });
  }
}
