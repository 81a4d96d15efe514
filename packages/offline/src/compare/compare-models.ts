import { ensure, hash32, hashString, type JsonValue, raceAbort } from "@lapidary/std";
import type { LossSum, TokenPrompt } from "@lapidary/trainer";
import type { Reporter } from "../reporter.js";
import type { AnswerModel, CallOptions, ModelAnswer, RunningModel } from "./answer-model.js";
import {
  comparedRow,
  type ModelComparison,
  modelReport,
  type SetResults,
  setReport,
  sourceReport,
  type SubsetLoss,
} from "./comparison-report.js";
import { modelWarnings, setWarnings } from "./comparison-warnings.js";
import { type HeldOutSet, readHeldOutSets } from "./held-out-set.js";
import { checkVotes } from "./verdict-file.js";
import {
  type AnsweredPrompt,
  checkAnswers,
  countVotes,
  type DecidedPrompt,
  judgeAnswers,
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
}

interface Progress {
  readonly signal: AbortSignal;
  readonly reporter: Reporter;
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
  const ofBaseline = await runModel("baseline", sets, request, progress);
  const answered = sets.flatMap((set, at) => answeredPrompts(set, ofCandidate[at], ofBaseline[at]));
  const byId = new Map((await decide(answered, request, progress)).map((each) => [each.held.id, each]));
  const results = sets.map(
    ({ file, refused, unmeasured, prompts }, at): SetResults => ({
      file,
      refused,
      unmeasured,
      decided: prompts.map(({ id }) => ensure(byId.get(id), "prompt with a verdict")),
      losses: pairedLosses(ofCandidate[at], ofBaseline[at]),
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

/** Starts one model, answers the prompts of all files and measures the losses. */
async function runModel(
  side: "candidate" | "baseline",
  sets: readonly HeldOutSet[],
  { [side]: model, seed, temperature, maxTokens }: ComparisonRequest,
  progress: Progress,
): Promise<readonly SetAnswers[]> {
  const prompts = sets.flatMap((set) =>
    set.prompts.map((held): TokenPrompt => {
      const ids = side === "candidate" ? held.candidateIds : held.baselineIds;
      return { ids, seed: hash32(seed, hashString(held.id)), maxTokens: Math.min(maxTokens, model.context + 1 - ids.length) };
    }),
  );
  return withRunning(`load the ${side}`, model, progress, async (running) => {
    const options = callOptions(`answers of the ${side}`, prompts.length, progress);
    const answers = prompts.length === 0 ? [] : await running.answers(prompts, { temperature, top_p: 1 }, options);
    const results: SetAnswers[] = [];
    let next = 0;
    for (const set of sets) {
      const own = answers.slice(next, (next += set.prompts.length));
      if (set.documents.length > 0) progress.reporter.progress(`losses of the ${side}`, set.file);
      results.push({ answers: own, losses: await lossesOf(set, side, running, progress.signal) });
    }
    return results;
  });
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
async function withRunning<T>(
  phase: string,
  model: AnswerModel,
  { reporter, signal }: Progress,
  work: (running: RunningModel) => Promise<T>,
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
