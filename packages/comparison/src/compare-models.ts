import type { ModelComparison, SetReport } from "@lapidary/api";
import { meanKlOptimum } from "@lapidary/evaluation";
import { ensure, hash32, hashString, type JsonValue, raceAbort } from "@lapidary/std";
import type { LossSum, MaskedDocument, TokenPrompt } from "@lapidary/trainer";
import type { ComparisonReporter } from "./reporter.js";
import type { AnswerModel, CallOptions, ModelAnswer, RunningModel } from "./answer-model.js";
import { comparedRow, modelReport, type SetResults, setReport, sourceReport, type SubsetLoss } from "./comparison-report.js";
import { modelWarnings, setWarnings } from "./comparison-warnings.js";
import { type HeldOutPrompt, type HeldOutSet, readHeldOutSets } from "./held-out-set.js";
import { checkVotes } from "./verdict-file.js";
import {
  type AnsweredPrompt,
  checkAnswers,
  countVotes,
  type DecidedPrompt,
  judgeAnswers,
  scoreAnswers,
  undecided,
  type VerdictSource,
} from "./verdicts.js";

export interface ComparisonRequest {
  readonly candidate: AnswerModel;
  readonly baseline: AnswerModel;
  /** Files of held-out examples. Each has a report of its own. */
  readonly data: readonly string[];
  /** Uses only this number of examples of each file. */
  readonly rows: number | undefined;
  readonly source: VerdictSource;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
  /** The weight of the KL in the training of the candidate, to report the best policy. */
  readonly beta?: number | undefined;
}

export interface ComparedModels {
  readonly report: ModelComparison;
  /** The rows of `--out`. */
  readonly rows: readonly JsonValue[];
}

/** What one model gives for one file. */
interface SetAnswers {
  /** In the order of the prompts. */
  readonly answers: readonly ModelAnswer[];
  /** By subset, in the order of their first rows. */
  readonly losses: readonly { readonly subset: string | undefined; readonly loss: LossSum }[];
  /** Log-probabilities of the answers of the candidate, in the order of the prompts; empty if they are not measured. */
  readonly logProbs: readonly number[];
  /** The probability of the answer of each row; empty if it is not measured. */
  readonly rights: readonly number[];
}

interface Progress {
  readonly signal: AbortSignal;
  readonly reporter: ComparisonReporter;
}

/**
 * Side-by-side evaluation of two models:
 *
 *     files ─► prompts ─┬─► candidate ─► answers ─┬─► checker, judge or votes ─► verdicts ─► report
 *                       └─► baseline  ─► answers ─┘
 *
 * One model runs at a time, so that the memory holds the weights of one. A prompt has the same seed for both models. The seed and the order of the
 * answers depend on (seed, id of the prompt), so that further rows change no result of the present ones.
 */
export async function compareModels(request: ComparisonRequest, progress: Progress): Promise<ComparedModels> {
  const { candidate, baseline, source, seed, temperature, maxTokens } = request;
  const { reporter } = progress;
  const sets = readHeldOutSets(request.data, request);
  const ids = sets.flatMap(({ prompts }) => prompts.map(({ id }) => id));
  if (source.kind === "verdicts") checkVotes(source.votes, ids);
  const early = modelWarnings(candidate, baseline, source);
  early.forEach(reporter.warn);
  const ofCandidate = await runModel("candidate", sets, request, progress);
  const ofBaseline = await runModel("baseline", sets, request, progress, ofCandidate);
  const answered = sets.flatMap((set, at) => answeredPrompts(set, ofCandidate[at], ofBaseline[at]));
  const byId = new Map((await decide(answered, request, progress)).map((each) => [each.held.id, each]));
  const results = sets.map(
    ({ file, refused, unmeasured, prompts }, at): SetResults => ({
      file,
      refused,
      unmeasured,
      decided: prompts.map(({ id }) => ensure(byId.get(id), "prompt with a verdict")),
      losses: pairedLosses(ofCandidate[at], ofBaseline[at]),
      divergence: divergence(ofCandidate[at]?.logProbs ?? [], ofBaseline[at]?.logProbs ?? []),
      optimum: optimum(ofBaseline[at]?.rights ?? [], request.beta),
    }),
  );
  const reports = results.map((each) => setReport(each, source));
  const late = reports.flatMap((report) => setWarnings(report, request));
  late.forEach(reporter.warn);
  return {
    report: {
      candidate: modelReport(candidate),
      baseline: modelReport(baseline),
      source: sourceReport(source),
      seed,
      temperature,
      max_tokens: maxTokens,
      sets: reports,
      warnings: [...early, ...late],
    },
    rows: results.flatMap(({ file, decided }) => decided.map((each) => comparedRow(file, each, seed))),
  };
}

/**
 * Starts one model, answers the prompts of all files, and measures losses and log-probabilities.
 *
 * @param measured whose answers are measured; by default those of this model
 */
async function runModel(
  side: "candidate" | "baseline",
  sets: readonly HeldOutSet[],
  request: ComparisonRequest,
  progress: Progress,
  measured?: readonly SetAnswers[],
): Promise<readonly SetAnswers[]> {
  const { [side]: model, seed, temperature, maxTokens, beta } = request;
  const prompts = sets.flatMap((set) =>
    set.prompts.map((held): TokenPrompt => {
      const ids = idsOf(held, side);
      return { ids, seed: hash32(seed, hashString(held.id)), maxTokens: Math.min(maxTokens, model.context + 1 - ids.length) };
    }),
  );
  return withRunning(`load the ${side}`, model, progress, async (running) => {
    const options = callOptions(`answers of the ${side}`, prompts.length, progress);
    const answers = prompts.length === 0 ? [] : await running.answers(prompts, { temperature, top_p: 1 }, options);
    const results: SetAnswers[] = [];
    let next = 0;
    for (const [at, set] of sets.entries()) {
      const own = answers.slice(next, (next += set.prompts.length));
      if (set.documents.length > 0) progress.reporter.progress(`losses of the ${side}`, set.file);
      const losses = await lossesOf(set, side, running, progress.signal);
      const documents = isMeasured(request) ? answerDocuments(set, measured?.[at]?.answers ?? own) : [];
      const logProbs = documents.length === 0 ? [] : await running.logProbs(documents, progress.signal);
      const rights = side === "baseline" && beta !== undefined ? await rightProbabilities(set, running, progress.signal) : [];
      results.push({ answers: own, losses, logProbs, rights });
    }
    return results;
  });
}

const idsOf = (held: HeldOutPrompt, side: "candidate" | "baseline"): readonly number[] =>
  side === "candidate" ? held.candidateIds : held.baselineIds;

/** Probabilities of answers are comparable for samples of the distribution itself, under models with the same ids. */
const isMeasured = ({ candidate, baseline, temperature }: ComparisonRequest): boolean =>
  temperature === 1 && candidate.vocabulary === baseline.vocabulary && candidate.form === baseline.form;

/** Each prompt with its answer, whose tokens count. */
const answerDocuments = ({ prompts }: HeldOutSet, answers: readonly ModelAnswer[]): readonly MaskedDocument[] =>
  prompts.map(({ candidateIds }, at) => {
    const { ids } = ensure(answers[at], "answer");
    return { ids: [...candidateIds, ...ids], mask: [...candidateIds.map(() => 0), ...ids.map(() => 1)] };
  });

/** The probability that the baseline gives to the answer of each row that has one. */
async function rightProbabilities({ documents }: HeldOutSet, running: RunningModel, signal: AbortSignal): Promise<readonly number[]> {
  const logProbs = await running.logProbs(
    documents.flatMap(({ baseline }) => baseline),
    signal,
  );
  let next = 0;
  return documents.map(({ baseline }) => Math.exp(logProbs.slice(next, (next += baseline.length)).reduce((sum, each) => sum + each, 0)));
}

/** The mean of log candidate − log baseline over answers of the candidate, which is the estimator k1 of the KL. */
function divergence(candidate: readonly number[], baseline: readonly number[]): SetReport["divergence"] {
  const n = candidate.length;
  if (n < 2) return null;
  const differences = candidate.map((each, at) => each - ensure(baseline[at], "log-probability"));
  const mean = differences.reduce((sum, each) => sum + each, 0) / n;
  const variance = differences.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (n - 1);
  return { nats_per_answer: mean, standard_error: Math.sqrt(variance / n) };
}

function optimum(rights: readonly number[], beta: number | undefined): SetReport["optimum"] {
  if (beta === undefined || rights.length === 0) return null;
  const baseline_probability = rights.reduce((sum, each) => sum + each, 0) / rights.length;
  return { beta, baseline_probability, ...meanKlOptimum(rights, beta) };
}

async function lossesOf(
  { documents }: HeldOutSet,
  side: "candidate" | "baseline",
  running: RunningModel,
  signal: AbortSignal,
): Promise<SetAnswers["losses"]> {
  const losses: { subset: string | undefined; loss: LossSum }[] = [];
  for (const subset of new Set(documents.map((each) => each.subset))) {
    const own = documents.filter((each) => each.subset === subset).flatMap((each) => each[side]);
    losses.push({ subset, loss: await running.loss(own, signal) });
  }
  return losses;
}

/** Runs a model for one piece of work, and waits for the end of its workers. */
async function withRunning<M extends { close(): Promise<void> }, T>(
  phase: string,
  model: { readonly name: string; start(): Promise<M> },
  { reporter, signal }: Progress,
  work: (running: M) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  reporter.progress(phase, model.name);
  const running = await model.start();
  try {
    return await raceAbort(work(running), signal);
  } finally {
    await running.close();
  }
}

function callOptions(phase: string, total: number, { signal, reporter }: Progress): CallOptions {
  let complete = 0;
  reporter.progress(phase, () => `${complete} of ${total}`);
  return {
    signal,
    onAnswered: (count) => {
      complete = count;
      reporter.count?.(phase, count, total);
    },
  };
}

/** Verdicts in the order of the prompts. */
async function decide(
  answered: readonly AnsweredPrompt[],
  { source, seed }: ComparisonRequest,
  progress: Progress,
): Promise<readonly DecidedPrompt[]> {
  switch (source.kind) {
    case "none":
      return answered.map((each) => undecided(each));
    case "checker":
      return checkAnswers(answered, source.checker, callOptions("check the answers", answered.length, progress));
    case "verdicts":
      return countVotes(answered, source.votes, seed);
    case "reward": {
      if (answered.length === 0) return [];
      return withRunning("load the reward model", source.model, progress, (running) =>
        scoreAnswers(answered, source.model, running, callOptions("scores of the reward model", 2 * answered.length, progress)),
      );
    }
    case "judge": {
      const { model, template, orders } = source;
      if (answered.length === 0) return [];
      return withRunning("load the judge", model, progress, (running) => {
        const options = callOptions("verdicts of the judge", answered.length * (orders === "both" ? 2 : 1), progress);
        return judgeAnswers(answered, { model, running, tokens: model.verdictTokens(), template, orders, seed }, options);
      });
    }
  }
}

const answeredPrompts = (
  { prompts }: HeldOutSet,
  ofCandidate: SetAnswers | undefined,
  ofBaseline: SetAnswers | undefined,
): readonly AnsweredPrompt[] =>
  prompts.map((held, i) => ({
    held,
    candidate: ensure(ofCandidate?.answers[i], "answer of the candidate"),
    baseline: ensure(ofBaseline?.answers[i], "answer of the baseline"),
  }));

const pairedLosses = (ofCandidate: SetAnswers | undefined, ofBaseline: SetAnswers | undefined): readonly SubsetLoss[] =>
  (ofCandidate?.losses ?? []).map(({ subset, loss }, i) => ({
    subset,
    candidate: loss,
    baseline: ensure(ofBaseline?.losses[i], "loss of the baseline").loss,
  }));
