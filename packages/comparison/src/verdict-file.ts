import { readFileSync } from "node:fs";
import { type AnswerOrder, shuffledOrder, type Verdict } from "@lapidary/evaluation";
import { isSystemError, LapidaryError, suggest, systemError } from "@lapidary/std";
import { z } from "zod";

/**
 * Verdicts of people, as JSON lines:
 *
 *     {"id": "held.jsonl:3", "verdict": "candidate"}        or "baseline", "tie"
 *     {"id": "held.jsonl:3", "verdict": "first"}            or "second": of the pair in the order `order`
 *
 * Several verdicts about one prompt are votes. A row can have the keys `order` and `answers` of the row of `--out`. Without `order`, the coin of
 * (seed, id) decides the order. A verdict whose `answers` is the digest of other answers is refused.
 */
export interface Vote {
  readonly id: string;
  readonly verdict: "candidate" | "baseline" | "first" | "second" | "tie";
  readonly order?: AnswerOrder | undefined;
  readonly answers?: string | undefined;
}

/** Votes by prompt. */
export interface Votes {
  readonly file: string;
  readonly byId: ReadonlyMap<string, readonly Vote[]>;
}

const voteSchema = z.looseObject({
  id: z.union([z.string(), z.number()]).transform(String),
  verdict: z.enum(["candidate", "baseline", "first", "second", "tie"]),
  order: z.enum(["candidate-first", "baseline-first"]).optional(),
  answers: z.string().optional(),
});

/** @throws LapidaryError LAP_VERDICT_ROW, LAP_FILE_… */
export function readVotes(file: string): Votes {
  const byId = new Map<string, Vote[]>();
  for (const [at, line] of linesOf(file).entries()) {
    if (line.trim() === "") continue;
    const vote = voteOf(line, `${file}:${at + 1}`);
    const votes = byId.get(vote.id);
    if (votes === undefined) byId.set(vote.id, [vote]);
    else votes.push(vote);
  }
  return { file, byId };
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the verdicts", place: file }) : error;
  }
}

function voteOf(line: string, location: string): Vote {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw badVote(location, `the line is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const parsed = voteSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badVote(location, `\`${issue?.path.join(".") ?? ""}\` is invalid: ${issue?.message ?? ""}`);
}

/** @throws LapidaryError LAP_VERDICT_ROW if a vote is about another prompt */
export function checkVotes({ file, byId }: Votes, ids: readonly string[]): void {
  const known = new Set(ids);
  const stray = [...byId.keys()].find((id) => !known.has(id));
  if (stray === undefined) return;
  const near = suggest(stray, ids);
  throw badVote(
    file,
    `no prompt has the id ${JSON.stringify(stray)}${near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`}`,
  );
}

/**
 * The verdict of most votes for the order candidate, baseline; a tie if as many prefer one as the other.
 *
 * @param answers the digest of the two answers
 * @throws LapidaryError LAP_VERDICT_ROW if a vote is about other answers
 */
export function majority(
  votes: readonly Vote[],
  { seed, answers, file }: { readonly seed: number; readonly answers: string; readonly file: string },
): Verdict {
  let score = 0;
  for (const vote of votes) {
    if (vote.answers !== undefined && vote.answers !== answers)
      throw badVote(file, `the verdict about ${vote.id} is about other answers: compare the same models with the same options and seed`);
    score += scoreOf(vote, seed);
  }
  return score > 0 ? "first" : score < 0 ? "second" : "tie";
}

/** +1 for the candidate, −1 for the baseline. */
function scoreOf({ id, verdict, order }: Vote, seed: number): number {
  if (verdict === "tie") return 0;
  if (verdict === "candidate" || verdict === "baseline") return verdict === "candidate" ? 1 : -1;
  const shown = order ?? shuffledOrder(seed, id);
  return (verdict === "first") === (shown === "candidate-first") ? 1 : -1;
}

function badVote(location: string, message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_VERDICT_ROW",
    message,
    location,
    remedy: 'write one JSON object a line, such as {"id": "held.jsonl:3", "verdict": "candidate"}',
  });
}
