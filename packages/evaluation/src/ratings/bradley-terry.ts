import { assert } from "@lapidary/std";
import { badEvaluationSetting, emptyEvaluation, unboundedRatings } from "../evaluation-errors.js";

/** One comparison: `score` is 1 if `a` wins, 0 if `b` wins, ½ for a tie. */
export interface Game {
  readonly a: string;
  readonly b: string;
  readonly score: number;
}

export interface BradleyTerryOptions {
  /** Ties that are added between every two models, so that ratings are finite for any games. Default 0: the maximum-likelihood estimate. */
  readonly virtualTies?: number;
}

/** Mean of the ratings, and the points for a factor e of strength: 400 points are odds of 10 to 1, as in chess. */
const anchor = 1000;
const scale = 400 / Math.LN10;

/**
 * Maximum-likelihood ratings of the Bradley–Terry model P(i beats j) = s_i / (s_i + s_j). A tie counts as half a win of each.
 *
 *     log-likelihood  Σ_ij w_ij ln σ(x_i − x_j),   x = ln s,   Σ x = 0
 *     gradient        g_i = Σ_j (w_ij − n_ij σ(x_i − x_j))
 *     information     Q_ij = n_ij σ(x_i − x_j) σ(x_j − x_i),   H = diag(Q 1) − Q
 *     Newton's step   (H + 1 1ᵀ / n) d = g
 *
 * The log-likelihood is concave. A step is halved until it raises the log-likelihood, so that Newton's method converges from any start.
 *
 * @returns 1000 + 400 / ln 10 · x by model, in order of the first game of each model
 * @throws LapidaryError LAP_EVALUATION_EMPTY without games, LAP_RATINGS_UNBOUNDED if the maximum does not exist
 */
export function bradleyTerry(games: readonly Game[], { virtualTies = 0 }: BradleyTerryOptions = {}): ReadonlyMap<string, number> {
  if (games.length === 0) throw emptyEvaluation("games");
  if (!(virtualTies >= 0 && Number.isFinite(virtualTies))) throw badEvaluationSetting("virtualTies", virtualTies, "a number from 0");
  const models = [...new Set(games.flatMap(({ a, b }) => [a, b]))];
  const wins = winMatrix(models, games, virtualTies);
  requireConnected(models, wins);
  const strengths = maximise(wins);
  return new Map(models.map((model, i) => [model, anchor + scale * (strengths[i] ?? 0)]));
}

/** wins[i][j]: how often i beats j, a tie counting half. */
function winMatrix(models: readonly string[], games: readonly Game[], virtualTies: number): number[][] {
  const index = new Map(models.map((model, i) => [model, i]));
  const wins = models.map((_, i) => models.map((_, j) => (i === j ? 0 : virtualTies / 2)));
  for (const { a, b, score } of games) {
    assert(score >= 0 && score <= 1, "the score of a game is from 0 to 1", a, b, score);
    assert(a !== b, "a game has two models", a);
    add(wins, index.get(a), index.get(b), score);
    add(wins, index.get(b), index.get(a), 1 - score);
  }
  return wins;
}

function add(matrix: number[][], i = -1, j = -1, value = 0): void {
  const row = matrix[i];
  assert(row !== undefined && j >= 0, "a game is between known models", i, j);
  row[j] = at(matrix, i, j) + value;
}

const at = (matrix: readonly (readonly number[])[], i: number, j: number): number => matrix[i]?.[j] ?? 0;

/** The maximum exists if no group of models is unbeaten by the other models: every model reaches every other one through wins. Ford (1957). */
function requireConnected(models: readonly string[], wins: readonly (readonly number[])[]): void {
  for (const [start] of models.entries()) {
    const beaters = reached(start, wins);
    if (beaters.size === models.length) continue;
    throw unboundedRatings(
      models.filter((_, i) => beaters.has(i)),
      models.filter((_, i) => !beaters.has(i)),
    );
  }
}

/** The models that beat or tied `start`, those that beat or tied these, and so on. The other models never beat or tied one of them. */
function reached(start: number, wins: readonly (readonly number[])[]): ReadonlySet<number> {
  const found = new Set([start]);
  for (const loser of found) for (const [winner] of wins.entries()) if (at(wins, winner, loser) > 0) found.add(winner);
  return found;
}

const maxNewtonSteps = 200;

/** @returns x with sum 0 */
function maximise(wins: readonly (readonly number[])[]): readonly number[] {
  let x = wins.map(() => 0);
  let value = logLikelihood(wins, x);
  for (let step = 0; step < maxNewtonSteps; step++) {
    const direction = newtonDirection(wins, x);
    const next = raised(wins, x, value, direction);
    if (next === undefined) return x;
    const change = Math.max(...next.x.map((each, i) => Math.abs(each - (x[i] ?? 0))));
    ({ x, value } = next);
    if (change < 1e-13 * (1 + Math.max(...x.map(Math.abs)))) return x;
  }
  return x;
}

/** The longest of the steps direction, direction / 2, … that does not lower the log-likelihood; undefined if none raises it. */
function raised(
  wins: readonly (readonly number[])[],
  x: readonly number[],
  value: number,
  direction: readonly number[],
): { readonly x: number[]; readonly value: number } | undefined {
  for (let length = 1; length > 2 ** -40; length /= 2) {
    const moved = x.map((each, i) => each + length * (direction[i] ?? 0));
    const mean = moved.reduce((sum, each) => sum + each, 0) / moved.length;
    const centred = moved.map((each) => each - mean);
    const next = logLikelihood(wins, centred);
    // Near the maximum the likelihood is flat in double precision, and a Newton step that does not change it still corrects x.
    if (next >= value - 1e-15 * Math.abs(value)) return { x: centred, value: next };
  }
  return undefined;
}

/** ln σ(d), without overflow. */
const logSigmoid = (d: number): number => Math.min(d, 0) - Math.log1p(Math.exp(-Math.abs(d)));

const sum = (count: number, term: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < count; i++) total += term(i);
  return total;
};

function logLikelihood(wins: readonly (readonly number[])[], x: readonly number[]): number {
  const n = x.length;
  return sum(n, (i) => sum(n, (j) => (i === j ? 0 : at(wins, i, j) * logSigmoid((x[i] ?? 0) - (x[j] ?? 0)))));
}

function newtonDirection(wins: readonly (readonly number[])[], x: readonly number[]): number[] {
  const n = x.length;
  const probability = (i: number, j: number): number => Math.exp(logSigmoid((x[i] ?? 0) - (x[j] ?? 0)));
  const games = (i: number, j: number): number => at(wins, i, j) + at(wins, j, i);
  const gradient = x.map((_, i) => sum(n, (j) => (i === j ? 0 : at(wins, i, j) - games(i, j) * probability(i, j))));
  const information = x.map((_, i) => x.map((_, j) => (i === j ? 0 : games(i, j) * probability(i, j) * probability(j, i))));
  const hessian = information.map((row, i) => row.map((q, j) => (i === j ? sum(n, (k) => at(information, i, k)) : -q) + 1 / n));
  return solve(hessian, gradient);
}

/** Solves A x = b for a symmetric positive definite A, by elimination. Both are overwritten. */
function solve(a: number[][], b: number[]): number[] {
  const n = b.length;
  for (let k = 0; k < n; k++) {
    for (let i = k + 1; i < n; i++) {
      const factor = at(a, i, k) / at(a, k, k);
      const row = a[i];
      if (row === undefined || factor === 0) continue;
      for (let j = k; j < n; j++) row[j] = at(a, i, j) - factor * at(a, k, j);
      b[i] = (b[i] ?? 0) - factor * (b[k] ?? 0);
    }
  }
  for (let i = n - 1; i >= 0; i--) {
    const known = sum(n, (j) => (j > i ? at(a, i, j) * (b[j] ?? 0) : 0));
    b[i] = ((b[i] ?? 0) - known) / at(a, i, i);
  }
  return b;
}
