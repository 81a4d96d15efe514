import { join } from "node:path";
import {
  type Dataset,
  type DatasetRequest,
  findPrepared,
  type MixtureDataset,
  type PrepareWork,
  prepareDataset,
  prepareRows,
  readPairs,
  readPrompts,
  type RowsRequest,
  skippedWarning,
} from "@lapidary/data";
import type { RunEventOf } from "@lapidary/api/run-events";
import { counted, ensure, type Clock, type Warning } from "@lapidary/std";
import type { Run } from "@lapidary/telemetry";
import {
  checkTokenizerSize,
  corpusOf,
  givenTokenizer,
  needsInit,
  type ResolvedJob,
  rowsRequestOf,
  tokenizerRequest,
  trainsOnExamples,
  trainsOnPipeline,
} from "@lapidary/training";
import type { RecipeInputs } from "../recipes/recipe.js";
import { openRunMixture } from "./data-history.js";
import { isSameTokenizer, runTokenizer } from "./run-tokenizer.js";
import { throttle } from "./throttle.js";

export interface DataOptions {
  readonly run: Run;
  readonly job: ResolvedJob;
  /** The root of the project, which has the default corpus. */
  readonly root: string;
  /** The cache of datasets and programs. */
  readonly cacheDir: string;
  readonly clock: Clock;
}

export type RunDataset = RecipeInputs["dataset"];
type ExamplesDataset = Exclude<RunDataset, Dataset | MixtureDataset>;

/**
 * The dataset of a job, prepared before or now. Records what it has in the run.
 *
 * @throws LapidaryError for a corpus, examples or a tokenizer that cannot be used
 */
export function prepareData(options: DataOptions, signal: AbortSignal): Promise<RunDataset> {
  if (trainsOnPipeline(options.job)) return prepareSources(options, signal);
  return trainsOnExamples(options.job) ? prepareExamples(options, signal) : prepareText(options, signal);
}

/** The rows of a job over the sources of a pipeline. Steps that the run has trained keep their rows. */
async function prepareSources({ run, job, cacheDir, clock }: DataOptions, signal: AbortSignal): Promise<MixtureDataset> {
  const work: PrepareWork = { cacheDir: join(cacheDir, "datasets"), signal, onProgress: progressOf(run, clock, signal) };
  const dataset = await openRunMixture(run, job, work);
  recordDataset(run, { origin: "given", path: dataset.manifest.corpus }, dataset);
  return dataset;
}

async function prepareText({ run, job, root, cacheDir, clock }: DataOptions, signal: AbortSignal): Promise<Dataset> {
  const own = runTokenizer(run);
  const request = {
    corpus: corpusOf(job, root),
    tokenizer: tokenizerRequest(job),
    heldOutFraction: job.data.held_out,
    cacheDir: join(cacheDir, "datasets"),
  };
  const dataset =
    (own === undefined ? undefined : preparedDataset(own, request)) ??
    (await prepareDataset({
      ...request,
      ...(own === undefined ? {} : { tokenizer: { kind: "given", path: own } }),
      signal,
      onProgress: progressOf(run, clock, signal),
    }));
  try {
    if (own === undefined) checkTokenizerSize(job, dataset.manifest.vocabSize);
    dataset.requireBatch(job.train);
  } catch (error) {
    dataset.close();
    throw error;
  }
  const { corpus: place, leftOut } = dataset.manifest;
  if (Object.keys(leftOut).length > 0) run.record({ type: "documents_skipped", corpus: place, reasons: { ...leftOut } });
  warnOnce(run, skippedWarning(request.corpus, leftOut));
  recordDataset(run, tokenizerOrigin(job, own), dataset);
  return dataset;
}

/** The dataset that was prepared before with a tokenizer trained on the corpus, if the run still has that tokenizer. */
function preparedDataset(own: string, request: DatasetRequest & { readonly cacheDir: string }): Dataset | undefined {
  if (request.tokenizer.kind === "given") return undefined;
  const prepared = findPrepared(request);
  if (prepared === undefined || isSameTokenizer(own, prepared.manifest.tokenizerHash)) return prepared;
  prepared.close();
  return undefined;
}

type TokenizerOrigin = Pick<RunEventOf<"tokenizer_ready">, "origin" | "path" | "is_new_to_weights">;

function tokenizerOrigin({ data, train }: ResolvedJob, own: string | undefined): TokenizerOrigin {
  if (own !== undefined) return { origin: "run" };
  const path = givenTokenizer(data, train);
  return path === undefined ? { origin: "trained", is_new_to_weights: train.init !== undefined } : { origin: "given", path };
}

/** A resumed run prepares its dataset again, with the same result. */
function warnOnce(run: Run, warning: Warning | undefined): void {
  if (
    warning === undefined ||
    run.summary.warnings?.some(({ code, message }) => code === warning.code && message === warning.message) === true
  )
    return;
  run.warn([warning]);
}

/**
 * The dataset of a job that trains on examples. A resumed run keeps the tokenizer of its checkpoints, even if that of `train.init` has changed. A run
 * that trains an adapter or has a reference needs `train.init` in every attempt, so it uses the tokenizer of that checkpoint.
 */
async function prepareExamples({ run, job, cacheDir, clock }: DataOptions, signal: AbortSignal): Promise<ExamplesDataset> {
  const own = needsInit(job) ? undefined : runTokenizer(run);
  const tokenizer = own ?? ensure(givenTokenizer(job.data, job.train), "the tokenizer of the checkpoint");
  const work: PrepareWork = { cacheDir: join(cacheDir, "datasets"), signal, onProgress: progressOf(run, clock, signal) };
  const dataset = await readExamples(job, rowsRequestOf(job, tokenizer), work);
  try {
    if (own === undefined) checkTokenizerSize(job, dataset.manifest.vocabSize);
  } catch (error) {
    dataset.close();
    throw error;
  }
  recordExamples(run, dataset);
  recordDataset(run, tokenizerOrigin(job, own), dataset);
  return dataset;
}

/** Examples that workers read from files, or examples that the steps of the run send to the workers. */
async function readExamples(job: ResolvedJob, request: RowsRequest, work: PrepareWork): Promise<ExamplesDataset> {
  switch (job.recipe) {
    case "reward":
      return readPairs({ ...request, rowsPerExample: 2, chanceLoss: Math.LN2, margin: job.reward_model?.margin ?? 0 }, work.signal);
    case "dpo":
      return readPairs({ ...request, rowsPerExample: 2, chanceLoss: dpoChanceLoss(job.dpo) }, work.signal);
    case "rl": {
      const { generations, rollout } = ensure(job.rl, "rl");
      const seq = request.seq - rollout.max_new_tokens;
      return readPrompts({ ...request, seq, rowsPerExample: generations, chanceLoss: 0 }, work.signal);
    }
    default:
      return prepareRows(request, work);
  }
}

/** The loss of the policy that training starts from. */
const dpoChanceLoss = (dpo: ResolvedJob["dpo"]): number => (dpo?.loss === "ipo" ? 1 / (2 * dpo.beta) ** 2 : Math.LN2);

function recordExamples(run: Run, { manifest: { corpus, refused, filters } }: ExamplesDataset): void {
  for (const { filter, checked, removed, removedByKind } of filters)
    run.record({ type: "examples_filtered", corpus, filter, checked, removed, kinds: removedByKind });
  const [first] = refused.first;
  if (first === undefined) return;
  run.record({ type: "examples_refused", corpus, reasons: refused.byCode, first: refused.first });
  const unfiltered = Object.entries(refused.byCode).filter(([code]) => code !== "LAP_EXAMPLE_FILTERED");
  const count = unfiltered.reduce((sum, [, number]) => sum + number, 0);
  const named = refused.first.find(({ code }) => code !== "LAP_EXAMPLE_FILTERED") ?? first;
  if (count === 0) return;
  warnOnce(run, {
    code: "LAP_EXAMPLES_REFUSED",
    message: `${counted(count, "row")} of the examples cannot be used; the first is row ${named.row}: ${named.reason}`,
    place: named.file,
    remedy: `${named.remedy}; the events of the run name more rows`,
  });
}

function recordDataset(run: Run, origin: TokenizerOrigin, { manifest }: RunDataset): void {
  const { splits, unigramNats, corpus, vocabSize } = manifest;
  run.record({ type: "tokenizer_ready", ids: vocabSize, ...origin });
  run.record({
    type: "dataset_ready",
    corpus,
    documents: splits.train.documents,
    tokens: splits.train.tokens,
    heldout_tokens: splits.heldout.tokens,
    unigram_loss: unigramNats,
  });
}

/** Shows the progress of the preparation as the activity of the run. */
function progressOf(run: Run, clock: Clock, signal: AbortSignal): NonNullable<PrepareWork["onProgress"]> {
  const enter = throttle(clock, (activity) => {
    if (!signal.aborted) run.enter("compiling", { activity });
  });
  return ({ stage, done, total }) => enter({ what: stage, done, total });
}
