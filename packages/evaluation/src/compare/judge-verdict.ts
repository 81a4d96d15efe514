import { unusableJudgement } from "../evaluation-errors.js";
import type { Verdict } from "./side-by-side.js";

/**
 * The verdict of a model as judge. The template asks for A (the first answer is better), B (the second) or C (a tie). The verdict is read from
 * the next-token distribution after the template. No text of the judge is parsed.
 */

/** A number for each verdict token: a log-probability or an id. */
export interface VerdictTokens {
  readonly A: number;
  readonly B: number;
  readonly C: number;
}

export interface Judgement {
  /** The likeliest of the three. If the largest probability is not unique, the verdict is a tie. */
  readonly verdict: Verdict;
  /** Probabilities given that the next token is A, B or C. */
  readonly probabilities: Readonly<Record<Verdict, number>>;
  /** Probability that the next token is A, B or C. A small value means that the judge does not follow its template. */
  readonly mass: number;
}

/**
 * @param logProbs natural logarithms of the probabilities of the three tokens at the next position; −Infinity is allowed
 * @throws LapidaryError LAP_JUDGE_NAN if a number is NaN or +Infinity, or if all are −Infinity
 */
export function judgement({ A, B, C }: VerdictTokens): Judgement {
  const largest = Math.max(A, B, C);
  // Math.max is NaN if one number is.
  if (!Number.isFinite(largest)) throw unusableJudgement(`${A}, ${B}, ${C}`);
  const [a, b, c] = [Math.exp(A - largest), Math.exp(B - largest), Math.exp(C - largest)];
  const sum = a + b + c;
  const verdict = A > B && A > C ? "first" : B > A && B > C ? "second" : "tie";
  return { verdict, probabilities: { first: a / sum, second: b / sum, tie: c / sum }, mass: Math.exp(largest) * sum };
}

/**
 * @param logits [V] at the next position
 * @param ids token ids of "A", "B" and "C"
 * @throws LapidaryError LAP_JUDGE_NAN if an id is outside of the logits, or if the log-probabilities are unusable
 */
export function judgementFromLogits(logits: ArrayLike<number>, ids: VerdictTokens): Judgement {
  let largest = Number.NEGATIVE_INFINITY;
  for (let v = 0; v < logits.length; v++) largest = Math.max(largest, logits[v] ?? Number.NaN);
  let sum = 0;
  for (let v = 0; v < logits.length; v++) sum += Math.exp((logits[v] ?? Number.NaN) - largest);
  const logSum = largest + Math.log(sum);
  const logProb = (id: number): number => (logits[id] ?? Number.NaN) - logSum;
  return judgement({ A: logProb(ids.A), B: logProb(ids.B), C: logProb(ids.C) });
}
