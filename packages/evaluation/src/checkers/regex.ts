import { badCheckedRow, badCheckerSetting } from "../evaluation-errors.js";
import { type CheckedRow, textColumn } from "./row.js";
import type { TimeLimit } from "./time-limit.js";

export interface RegexSettings {
  /** The pattern of all rows; exactly one of `pattern` and `column` is set. */
  readonly pattern?: string | undefined;
  /** The column with the pattern of each row. */
  readonly column?: string | undefined;
  /** Flags of JavaScript: i, m, s, u, v. */
  readonly flags: string;
  /** `search`: the pattern matches a part of the answer; `whole`: it matches the whole answer. */
  readonly match: "search" | "whole";
}

/**
 * Makes the checker: 1 if the pattern matches the answer, else 0.
 *
 * The pattern and the answer are untrusted: a pattern such as (a+)+$ takes exponential time on some answers, and the engine of JavaScript has no
 * limit of its own. The engine also compiles a pattern at its first match. Every match therefore runs under `limit`.
 *
 * @returns a function that throws LAP_CHECKER_TIMEOUT, and LAP_CHECKER_ROW for a row without a valid pattern
 * @throws LapidaryError LAP_CHECKER_SETTING if the pattern of all rows is invalid
 */
export function regexScorer(settings: RegexSettings, place: string, limit: TimeLimit): (row: CheckedRow) => number {
  const { pattern, column = "", flags, match } = settings;
  const invalid = (why: string): Error =>
    pattern === undefined
      ? badCheckedRow(column, `the pattern in column ${column} is invalid: ${why}`)
      : badCheckerSetting(place, `the pattern is invalid: ${why}`, "correct the regular expression, in the syntax of JavaScript");
  const ofAllRows = pattern === undefined ? undefined : compile(pattern, flags, match, invalid);
  return (row) => {
    const expression = ofAllRows ?? compile(textColumn(row, column), flags, match, invalid);
    return isMatch(expression, row.answer, limit, invalid);
  };
}

/** The engine compiles a pattern at its first match, and refuses one that is too large. */
function isMatch(expression: RegExp, answer: string, limit: TimeLimit, invalid: (why: string) => Error): number {
  try {
    return limit(() => expression.test(answer)) ? 1 : 0;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) throw invalid(reasonOf(error));
    throw error;
  }
}

function compile(pattern: string, flags: string, match: RegexSettings["match"], invalid: (why: string) => Error): RegExp {
  try {
    // The pattern must be valid on its own, so that a stray parenthesis does not end the group around it.
    const expression = new RegExp(pattern, flags);
    // `^` and `$` would also match at the ends of a line if the flags have m.
    return match === "search" ? expression : new RegExp(`(?<![^])(?:${pattern})(?![^])`, flags);
  } catch (error) {
    throw invalid(reasonOf(error));
  }
}

/** The messages of the engine repeat the pattern, which may be long: "Invalid regular expression: /…/u: Unterminated group". */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(message.lastIndexOf(": ") + 2);
}
