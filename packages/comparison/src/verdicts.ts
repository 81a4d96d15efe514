import { createHash } from "node:crypto";
import { lastText } from "@lapidary/data";
import {
  type AnswerOrder,
  type Checker,
  type Judgement,
  outcomeOf,
  type Outcome,
  outcomeOfScores,
  type PromptVerdicts,
  shuffledOrder,
  type Verdict,
  type VerdictTokens,
} from "@lapidary/evaluation";
import { ensure, LapidaryError } from "@lapidary/std";
import type { AnswerModel, CallOptions, ModelAnswer, RunningModel } from "./answer-model.js";
import type { HeldOutPrompt } from "./held-out-set.js";
import type { RewardModel, RunningRewardModel } from "./reward-model.js";
import { type JudgeTemplate, renderQuestion } from "./judge-template.js";
import { majority, type Votes } from "./verdict-file.js";

/** Where verdicts come from. Without a source, the command only collects answers and losses. */
export type VerdictSource =
  | { readonly kind: "none" }
  | { readonly kind: "checker"; readonly name: string; readonly checker: Checker }
  | { readonly kind: "judge"; readonly model: AnswerModel; readonly template: JudgeTemplate; readonly orders: "both" | "shuffled" }
  | { readonly kind: "reward"; readonly model: RewardModel }
  | { readonly kind: "verdicts"; readonly votes: Votes };

/** A prompt with both answers. */
export interface AnsweredPrompt {
  readonly held: HeldOutPrompt;
  readonly candidate: ModelAnswer;
  readonly baseline: ModelAnswer;
}

/** What the judge says about one prompt in one order. */
interface JudgedOrder extends Judgement {
  readonly order: AnswerOrder;
}

/** A prompt with its verdict. */
export interface DecidedPrompt extends AnsweredPrompt {
  /** Undefined if there is no verdict: the question is too long for the judge, or no vote exists. */
  readonly verdicts: PromptVerdicts | undefined;
  readonly outcome: Outcome | undefined;
  /** Both scores of a checker. */
  readonly scores?: { readonly candidate: number; readonly baseline: number };
  /** Empty if the answers are equal, because equal answers are a tie without a question. */
  readonly judged?: readonly JudgedOrder[];
  readonly votes?: number;
  /** Why there is no verdict. */
  readonly reason?: string;
}

/** The digest of two answers, with which a file of verdicts names them. */
export const answersDigest = ({ candidate, baseline }: AnsweredPrompt): string =>
  createHash("sha256")
    .update(JSON.stringify([candidate.text, baseline.text]))
    .digest("hex")
    .slice(0, 16);

const decided = (answered: AnsweredPrompt, verdicts: PromptVerdicts): DecidedPrompt => ({
  ...answered,
  verdicts,
  outcome: outcomeOf(verdicts),
});

export const undecided = (answered: AnsweredPrompt, more: Partial<DecidedPrompt> = {}): DecidedPrompt => ({
  ...answered,
  ...more,
  verdicts: undefined,
  outcome: undefined,
});

/** A verdict about the answers themselves, whose order no judge saw. */
const unordered = (verdict: Verdict): PromptVerdicts => ({ orders: "shuffled", order: "candidate-first", verdict });

/** @throws LapidaryError LAP_CHECKER_… */
export async function checkAnswers(
  answered: readonly AnsweredPrompt[],
  checker: Checker,
  { signal, onAnswered }: CallOptions,
): Promise<readonly DecidedPrompt[]> {
  const results: DecidedPrompt[] = [];
  for (const each of answered) {
    signal.throwIfAborted();
    const { prompt, columns } = each.held.prompt;
    const score = (answer: string): Promise<number> => checker.check({ prompt: lastText(prompt), answer, columns });
    results.push(withScores(each, await score(each.candidate.text), await score(each.baseline.text)));
    onAnswered(results.length);
  }
  return results;
}

/** The answer with the higher score of a reward model wins. */
export async function scoreAnswers(
  answered: readonly AnsweredPrompt[],
  { end }: Pick<RewardModel, "end">,
  running: RunningRewardModel,
  options: CallOptions,
): Promise<readonly DecidedPrompt[]> {
  const rows = answered.flatMap(({ held, candidate, baseline }) =>
    [candidate, baseline].map(({ ids }) => [...held.candidateIds, ...end(ids)]),
  );
  const scores = await running.scores(rows, options);
  return answered.map((each, at) => withScores(each, ensure(scores[2 * at], "score"), ensure(scores[2 * at + 1], "score")));
}

/** A higher score is better, and equal scores are a tie. */
function withScores(answered: AnsweredPrompt, candidate: number, baseline: number): DecidedPrompt {
  const outcome = outcomeOfScores(candidate, baseline);
  const verdict = outcome === "win" ? "first" : outcome === "loss" ? "second" : "tie";
  return { ...decided(answered, unordered(verdict)), scores: { candidate, baseline } };
}

/** @throws LapidaryError LAP_VERDICT_ROW */
export function countVotes(answered: readonly AnsweredPrompt[], { file, byId }: Votes, seed: number): readonly DecidedPrompt[] {
  return answered.map((each) => {
    const votes = byId.get(each.held.id) ?? [];
    if (votes.length === 0) return undecided(each, { reason: `${file} has no verdict about ${each.held.id}` });
    const verdict = majority(votes, { seed, answers: answersDigest(each), file });
    return { ...decided(each, unordered(verdict)), votes: votes.length };
  });
}

export interface JudgeRequest {
  readonly model: Pick<AnswerModel, "promptIds">;
  readonly running: Pick<RunningModel, "judgements">;
  readonly tokens: VerdictTokens;
  readonly template: JudgeTemplate;
  readonly orders: "both" | "shuffled";
  readonly seed: number;
}

interface Question {
  readonly order: AnswerOrder;
  readonly ids: readonly number[];
}

/**
 * The verdicts of a judge. Its verdict is the likeliest of the tokens A, B and C after the question.
 *
 * @throws LapidaryError LAP_JUDGE_NAN, LAP_JUDGE_TEMPLATE
 */
export async function judgeAnswers(
  answered: readonly AnsweredPrompt[],
  { model, running, tokens, template, orders, seed }: JudgeRequest,
  options: CallOptions,
): Promise<readonly DecidedPrompt[]> {
  const asked = answered.map((each): readonly Question[] | string => {
    if (isEqual(each)) return [];
    const shown: readonly AnswerOrder[] = orders === "both" ? ["candidate-first", "baseline-first"] : [shuffledOrder(seed, each.held.id)];
    try {
      return shown.map((order) => ({ order, ids: questionIds(each, order, model, template) }));
    } catch (error) {
      // A question that is too long has no verdict. A template that does not fit the rows is a mistake in the command.
      if (!(error instanceof LapidaryError) || !error.code.startsWith("LAP_EXAMPLE_")) throw error;
      return `the question to the judge about ${each.held.id} cannot be encoded: ${error.message}`;
    }
  });
  const questions = asked.flatMap((each) => (typeof each === "string" ? [] : each.map(({ ids }) => ids)));
  const judgements = await running.judgements(questions, tokens, options);
  let next = 0;
  return answered.map((each, at): DecidedPrompt => {
    const asks = ensure(asked[at], "questions");
    if (typeof asks === "string") return undecided(each, { reason: asks });
    const judged = asks.map(({ order }): JudgedOrder => ({ order, ...ensure(judgements[next++], "judgement") }));
    return { ...decided(each, verdictsOf(judged, orders, shuffledOrder(seed, each.held.id))), judged };
  });
}

const isEqual = ({ candidate, baseline }: AnsweredPrompt): boolean => candidate.text.trim() === baseline.text.trim();

function questionIds(
  { held, candidate, baseline }: AnsweredPrompt,
  order: AnswerOrder,
  model: JudgeRequest["model"],
  template: JudgeTemplate,
): readonly number[] {
  const [first, second] = order === "candidate-first" ? [candidate, baseline] : [baseline, candidate];
  const question = renderQuestion(template, { prompt: held.text, first: first.text, second: second.text, columns: held.prompt.columns });
  return model.promptIds({ ...held.prompt, prompt: question });
}

/** Equal answers were not judged, and are a tie. */
function verdictsOf(judged: readonly JudgedOrder[], orders: "both" | "shuffled", coin: AnswerOrder): PromptVerdicts {
  const verdictIn = (order: AnswerOrder): Verdict => judged.find((each) => each.order === order)?.verdict ?? "tie";
  return orders === "both"
    ? { orders, candidateFirst: verdictIn("candidate-first"), baselineFirst: verdictIn("baseline-first") }
    : { orders, order: coin, verdict: verdictIn(coin) };
}
