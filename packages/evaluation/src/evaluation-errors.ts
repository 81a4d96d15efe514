import { type ErrorCode, LapidaryError } from "@lapidary/std";

/** The errors of evaluation: one function each. The codes never change. */

/** @param what the rows that are missing, such as "verdicts of subset safety" */
export function emptyEvaluation(what: string): LapidaryError {
  return new LapidaryError({ code: "LAP_EVALUATION_EMPTY", message: `there are no ${what}`, location: what });
}

/** @param allowed the range, as in "an integer from 1 to 16" */
export function badEvaluationSetting(key: string, value: unknown, allowed: string): LapidaryError {
  return failure("LAP_EVALUATION_SETTING", `${key} is ${String(value)}, expected ${allowed}`, key, `choose another ${key}`);
}

export function unusableJudgement(values: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JUDGE_NAN",
    message: `the verdict cannot be read from the log-probabilities of A, B and C: ${values}`,
    location: "judge",
  });
}

/** @param unbeaten models that no other model beat or tied */
export function unboundedRatings(unbeaten: readonly string[], others: readonly string[]): LapidaryError {
  return failure(
    "LAP_RATINGS_UNBOUNDED",
    `no finite ratings exist: ${unbeaten.join(", ")} never lost to or tied with ${others.join(", ")}`,
    unbeaten.join(", "),
    "add games between these models, or allow virtual ties",
  );
}

export function badCheckerSetting(place: string, why: string, remedy: string): LapidaryError {
  return failure("LAP_CHECKER_SETTING", why, place, remedy);
}

export function badCheckedRow(column: string, why: string): LapidaryError {
  return failure("LAP_CHECKER_ROW", why, `column ${column}`, `give every row a valid value in column ${column}, or set another column`);
}

export function badCheckerModule(path: string, why: string): LapidaryError {
  return failure(
    "LAP_CHECKER_MODULE",
    `the checker cannot be loaded: ${why}`,
    path,
    "name a JavaScript module that exports a function `check`, as in `export const check = ({ answer }) => answer.length > 0`",
  );
}

export function failedChecker(path: string, why: string): LapidaryError {
  return failure("LAP_CHECKER_FAILED", why, path, "correct the function `check`: it returns a finite number or a boolean");
}

export function checkerTimeout(place: string, limit_ms: number): LapidaryError {
  return failure(
    "LAP_CHECKER_TIMEOUT",
    `the check of one answer took longer than ${limit_ms} ms`,
    place,
    "simplify the checker (nested repetitions of a regular expression take exponential time), or raise limit_ms",
  );
}

function failure(code: ErrorCode, message: string, location: string, remedy: string): LapidaryError {
  return new LapidaryError({ code, message, location, remedy });
}
