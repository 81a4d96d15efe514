import { assert } from "@lapidary/std";
import { badEvaluationSetting } from "../evaluation-errors.js";
import type { Game } from "./bradley-terry.js";

export interface EloOptions {
  /** Points that a game moves at most. Default 32. */
  readonly k?: number;
  /** Rating before the first game. Default 1000. */
  readonly start?: number;
}

/**
 * Elo ratings after the games in their order: r_a += k (score − 1 / (1 + 10^((r_b − r_a) / 400))), r_b by the opposite. The order of the games
 * matters, unlike in `bradleyTerry`.
 *
 * @returns the rating by model, in order of the first game of each model
 */
export function elo(games: readonly Game[], { k = 32, start = 1000 }: EloOptions = {}): ReadonlyMap<string, number> {
  if (!(k > 0 && Number.isFinite(k))) throw badEvaluationSetting("k", k, "a number above 0");
  const ratings = new Map<string, number>();
  for (const { a, b, score } of games) {
    assert(score >= 0 && score <= 1, "the score of a game is from 0 to 1", a, b, score);
    assert(a !== b, "a game has two models", a);
    const [ratingA, ratingB] = [ratings.get(a) ?? start, ratings.get(b) ?? start];
    const change = k * (score - 1 / (1 + 10 ** ((ratingB - ratingA) / 400)));
    ratings.set(a, ratingA + change);
    ratings.set(b, ratingB - change);
  }
  return ratings;
}
