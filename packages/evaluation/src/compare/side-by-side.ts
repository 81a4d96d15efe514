import { hash32, hashString } from "@lapidary/std";
import { type BySubset, bySubset, countOutcomes, type Outcome, type WinRate, winRate } from "./win-rate.js";

/**
 * Side-by-side evaluation: a judge sees one prompt and two answers, one of the candidate and one of the baseline.
 *
 *     orders: both       candidate, baseline ─► verdict ┐
 *                        baseline, candidate ─► verdict ┴─► win, tie or loss; a contradiction is a tie
 *     orders: shuffled   a coin of (seed, prompt id) decides the order ─► verdict ─► win, tie or loss
 */

/** Which of two answers a judge prefers, by position. */
export type Verdict = "first" | "second" | "tie";

/** Which answer the judge sees first. */
export type AnswerOrder = "candidate-first" | "baseline-first";

/** The verdicts about one prompt. */
export type PromptVerdicts =
  | { readonly orders: "both"; readonly candidateFirst: Verdict; readonly baselineFirst: Verdict }
  | { readonly orders: "shuffled"; readonly order: AnswerOrder; readonly verdict: Verdict };

/** One prompt, judged. Lengths are in any unit, such as tokens or characters, the same for all rows. */
export interface JudgedPrompt {
  readonly verdicts: PromptVerdicts;
  readonly subset?: string | undefined;
  readonly candidateLength: number;
  readonly baselineLength: number;
}

export interface SideBySide extends WinRate {
  /** Number of prompts about which the judge prefers the same position in both orders. */
  readonly contradictions: number;
  /** contradictions / number of prompts judged in both orders; undefined if there are none. */
  readonly contradictionShare: number | undefined;
  /** Share of the first position in all verdicts that are not ties; ½ if there are none. A judge without position bias is near ½. */
  readonly firstShare: number;
  readonly lengths: WinnerLengths;
}

/** Lengths of answers over the prompts with a win or a loss. Means are undefined if there are none. */
interface WinnerLengths {
  readonly winnerMean: number | undefined;
  readonly loserMean: number | undefined;
  /** Share of the longer answer in the prompts whose answers differ in length; ½ if there are none. */
  readonly longerShare: number;
}

/** The order for `orders: shuffled`: a coin that depends on the seed and on the id of the prompt only, not on the other prompts. */
export function shuffledOrder(seed: number, promptId: string): AnswerOrder {
  return hash32(seed, hashString(promptId)) >= 2 ** 31 ? "candidate-first" : "baseline-first";
}

/** +1 if the verdict prefers the candidate, −1 if it prefers the baseline. */
function candidateScore(verdict: Verdict, order: AnswerOrder): number {
  if (verdict === "tie") return 0;
  return (verdict === "first") === (order === "candidate-first") ? 1 : -1;
}

/**
 * The candidate wins if it is preferred in one order and not rejected in the other. Two opposite preferences are a tie, and so are two ties.
 */
export function outcomeOf(verdicts: PromptVerdicts): Outcome {
  const score =
    verdicts.orders === "both"
      ? candidateScore(verdicts.candidateFirst, "candidate-first") + candidateScore(verdicts.baselineFirst, "baseline-first")
      : candidateScore(verdicts.verdict, verdicts.order);
  return score > 0 ? "win" : score < 0 ? "loss" : "tie";
}

/** Whether the judge prefers the same position in both orders, hence a different answer in each. */
export const isContradiction = (verdicts: PromptVerdicts): boolean =>
  verdicts.orders === "both" && verdicts.candidateFirst !== "tie" && verdicts.candidateFirst === verdicts.baselineFirst;

/** @throws LapidaryError LAP_EVALUATION_EMPTY if there are no rows */
export function sideBySide(rows: readonly JudgedPrompt[]): SideBySide {
  const verdicts = rows.map((row) => row.verdicts);
  const contradictions = verdicts.filter(isContradiction).length;
  const judgedTwice = verdicts.filter(({ orders }) => orders === "both").length;
  const preferences = verdicts
    .flatMap((each) => (each.orders === "both" ? [each.candidateFirst, each.baselineFirst] : [each.verdict]))
    .filter((verdict) => verdict !== "tie");
  return {
    ...winRate(countOutcomes(verdicts.map(outcomeOf))),
    contradictions,
    contradictionShare: judgedTwice === 0 ? undefined : contradictions / judgedTwice,
    firstShare: shareOr(0.5, preferences.filter((verdict) => verdict === "first").length, preferences.length),
    lengths: winnerLengths(rows),
  };
}

/** @throws LapidaryError LAP_EVALUATION_EMPTY if there are no rows */
export const sideBySideBySubset = (rows: readonly JudgedPrompt[]): BySubset<SideBySide> => bySubset(rows, sideBySide);

function winnerLengths(rows: readonly JudgedPrompt[]): WinnerLengths {
  const decided = rows.flatMap(({ verdicts, candidateLength, baselineLength }) => {
    const outcome = outcomeOf(verdicts);
    if (outcome === "tie") return [];
    return [outcome === "win" ? { winner: candidateLength, loser: baselineLength } : { winner: baselineLength, loser: candidateLength }];
  });
  const longer = decided.filter(({ winner, loser }) => winner > loser).length;
  const shorter = decided.filter(({ winner, loser }) => winner < loser).length;
  return {
    winnerMean: meanOf(decided.map(({ winner }) => winner)),
    loserMean: meanOf(decided.map(({ loser }) => loser)),
    longerShare: shareOr(0.5, longer, longer + shorter),
  };
}

const meanOf = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;

const shareOr = (otherwise: number, part: number, whole: number): number => (whole === 0 ? otherwise : part / whole);
