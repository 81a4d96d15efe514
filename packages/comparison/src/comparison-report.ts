import type { AnswerReport, ComparedSample, LossReport, ModelReport, SetReport, SourceReport, WinReport } from "@lapidary/api";
import type { RefusedRow } from "@lapidary/data";
import {
  type BySubset,
  isContradiction,
  type JudgedPrompt,
  type SideBySide,
  sideBySideBySubset,
  shuffledOrder,
} from "@lapidary/evaluation";
import type { JsonValue } from "@lapidary/std";
import type { LossSum } from "@lapidary/trainer";
import type { ModelAnswer, ModelIdentity } from "./answer-model.js";
import { answersDigest, type DecidedPrompt, type VerdictSource } from "./verdicts.js";

/** The losses of both models on the rows of a subset; no subset is undefined. */
export interface SubsetLoss {
  readonly subset: string | undefined;
  readonly candidate: LossSum;
  readonly baseline: LossSum;
}

/** The results of one file before they are counted. */
export interface SetResults {
  readonly file: string;
  readonly decided: readonly DecidedPrompt[];
  readonly losses: readonly SubsetLoss[];
  readonly divergence: SetReport["divergence"];
  readonly optimum: SetReport["optimum"];
  readonly unmeasured: number;
  readonly refused: readonly RefusedRow[];
}

export const modelReport = ({ name, directory, run, step, architecture, form, context }: ModelIdentity): ModelReport => ({
  name,
  directory,
  run: run ?? null,
  step: step ?? null,
  architecture,
  form,
  context,
});

export function sourceReport(source: VerdictSource): SourceReport {
  switch (source.kind) {
    case "none":
      return { kind: "none" };
    case "checker":
      return { kind: "checker", checker: source.name };
    case "judge":
      return { kind: "judge", judge: modelReport(source.model), template: source.template.name, orders: source.orders };
    case "reward":
      return { kind: "reward", reward: source.model.name };
    case "verdicts":
      return { kind: "verdicts", file: source.votes.file };
  }
}

export function setReport(
  { file, decided, losses, divergence, optimum, unmeasured, refused }: SetResults,
  source: VerdictSource,
): SetReport {
  const judged = decided.filter((each) => each.verdicts !== undefined);
  const results = judged.length === 0 ? undefined : winsBySubset(judged, source);
  const subsets = new Map(losses.flatMap((each) => (each.subset === undefined ? [] : [[each.subset, lossReport([each])] as const])));
  return {
    data: file,
    prompts: decided.length,
    unjudged: source.kind === "none" ? 0 : decided.length - judged.length,
    unjudged_reason: decided.find((each) => each.reason !== undefined)?.reason ?? null,
    refused,
    result: results?.all ?? null,
    result_by_subset: results?.subsets ?? {},
    answers:
      decided.length === 0
        ? null
        : {
            candidate: answerReport(decided.map(({ candidate }) => candidate)),
            baseline: answerReport(decided.map(({ baseline }) => baseline)),
          },
    divergence,
    optimum,
    loss: losses.length === 0 ? null : lossReport(losses),
    unmeasured,
    loss_by_subset: Object.fromEntries([...subsets].sort(([a], [b]) => (a < b ? -1 : 1))),
    samples: samplesOf(decided),
  };
}

function winsBySubset(decided: readonly DecidedPrompt[], source: VerdictSource): { all: WinReport; subsets: Record<string, WinReport> } {
  const rows = decided.flatMap((each): readonly (JudgedPrompt & { readonly decided: DecidedPrompt })[] => {
    const { verdicts, held, candidate, baseline } = each;
    if (verdicts === undefined) return [];
    const { subset } = held.prompt;
    return [{ verdicts, subset, candidateLength: candidate.text.length, baselineLength: baseline.text.length, decided: each }];
  });
  const { all, subsets }: BySubset<SideBySide> = sideBySideBySubset(rows);
  const of = (result: SideBySide, subset?: string): WinReport =>
    winReport(
      result,
      rows.filter((row) => subset === undefined || row.subset === subset).map((row) => row.decided),
      source,
    );
  return { all: of(all), subsets: Object.fromEntries([...subsets].map(([name, result]) => [name, of(result, name)])) };
}

function winReport(result: SideBySide, decided: readonly DecidedPrompt[], source: VerdictSource): WinReport {
  const { wins, ties, losses, n, rate, normal95, wilson95, signTestP, firstShare, lengths } = result;
  const asked = decided.filter(({ judged = [] }) => judged.length > 0);
  const contradictions = asked.filter(({ verdicts }) => verdicts !== undefined && isContradiction(verdicts)).length;
  const isTwice = source.kind === "judge" && source.orders === "both";
  const isAsked = asked.length > 0;
  return {
    wins,
    ties,
    losses,
    n,
    rate,
    normal95,
    wilson95,
    sign_test_p: signTestP,
    scores: scoresOf(decided),
    equal_answers: decided.filter(({ candidate, baseline }) => candidate.text.trim() === baseline.text.trim()).length,
    contradictions: isTwice ? contradictions : null,
    contradiction_share: isTwice && isAsked ? contradictions / asked.length : null,
    first_share: isAsked ? firstShare : null,
    mean_mass: isAsked ? meanOf(asked.flatMap(({ judged = [] }) => judged.map(({ mass }) => mass))) : null,
    winner_mean_length: lengths.winnerMean ?? null,
    loser_mean_length: lengths.loserMean ?? null,
    longer_share: lengths.longerShare,
  };
}

function scoresOf(decided: readonly DecidedPrompt[]): WinReport["scores"] {
  const scores = decided.flatMap((each) => (each.scores === undefined ? [] : [each.scores]));
  if (scores.length === 0) return null;
  return { candidate: meanOf(scores.map(({ candidate }) => candidate)), baseline: meanOf(scores.map(({ baseline }) => baseline)) };
}

const answerReport = (answers: readonly ModelAnswer[]): AnswerReport => ({
  mean_length: meanOf(answers.map(({ text }) => text.length)),
  mean_tokens: meanOf(answers.map(({ tokens }) => tokens)),
  cut_off_share: meanOf(answers.map(({ isCutOff }) => (isCutOff ? 1 : 0))),
});

/** Sums over the rows are divided once. */
function lossReport(losses: readonly SubsetLoss[]): LossReport {
  const total = (sums: readonly LossSum[]): LossSum =>
    sums.reduce((all, each) => ({ sum: all.sum + each.sum, tokens: all.tokens + each.tokens }), { sum: 0, tokens: 0 });
  const [candidate, baseline] = [total(losses.map((each) => each.candidate)), total(losses.map((each) => each.baseline))];
  return {
    candidate: candidate.sum / candidate.tokens,
    baseline: baseline.sum / baseline.tokens,
    candidate_tokens: candidate.tokens,
    baseline_tokens: baseline.tokens,
  };
}

/** The first win, loss and tie; without verdicts the first prompts. */
function samplesOf(decided: readonly DecidedPrompt[]): readonly ComparedSample[] {
  const outcomes = ["win", "loss", "tie"] as const;
  const chosen = outcomes.flatMap((outcome) => decided.find((each) => each.outcome === outcome) ?? []);
  return (chosen.length === 0 ? decided.slice(0, outcomes.length) : chosen).map(({ held, candidate, baseline, outcome = null }) => ({
    id: held.id,
    prompt: held.text,
    candidate: candidate.text,
    baseline: baseline.text,
    outcome,
  }));
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** A line of `--out`: the prompt, both answers, and what decided. */
export function comparedRow(data: string, decided: DecidedPrompt, seed: number): JsonValue {
  const { held, candidate, baseline, verdicts, outcome = null, scores, judged, votes, reason } = decided;
  const { subset = null, row, prompt, columns } = held.prompt;
  const order = verdicts?.orders === "both" ? null : shuffledOrder(seed, held.id);
  return {
    id: held.id,
    data,
    row,
    subset,
    prompt: prompt as JsonValue,
    columns,
    candidate: answerRow(candidate),
    baseline: answerRow(baseline),
    answers: answersDigest(decided),
    order,
    outcome,
    contradiction: verdicts === undefined ? null : isContradiction(verdicts),
    scores: scores === undefined ? null : { candidate: scores.candidate, baseline: scores.baseline },
    judged:
      judged === undefined
        ? null
        : judged.map(({ order: shown, verdict, probabilities, mass }) => ({ order: shown, verdict, probabilities, mass })),
    votes: votes ?? null,
    reason: reason ?? null,
  };
}

const answerRow = ({ text, tokens, isCutOff }: ModelAnswer): JsonValue => ({ text, tokens, cut_off: isCutOff });
