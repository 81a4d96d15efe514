import { resolve } from "node:path";
import { exactScore } from "./exact.js";
import { jsonSchemaScorer } from "./json-schema.js";
import { ModuleChecker } from "./module-checker.js";
import { numberScore } from "./number.js";
import { regexScorer } from "./regex.js";
import type { CheckedRow } from "./row.js";
import type { CheckerSettings } from "./settings.js";
import { sortedScore } from "./sorted.js";
import { timeLimit } from "./time-limit.js";

/** Scores answers: 1 for a right answer and 0 for a wrong one, or what a user's module returns. */
export interface Checker {
  /** @throws LapidaryError LAP_CHECKER_ROW, LAP_CHECKER_FAILED or LAP_CHECKER_TIMEOUT */
  check(row: CheckedRow): Promise<number>;
  /** Ends the thread of a module. A checker without a thread has nothing to close. */
  close(): Promise<void>;
}

/**
 * @param settings from `parseChecker`
 * @param directory of the job file, to which the path of a module is relative
 * @param place of the settings, for errors
 * @throws LapidaryError LAP_CHECKER_SETTING if a pattern or schema is invalid, LAP_CHECKER_MODULE if a module cannot be loaded
 */
export async function openChecker(settings: CheckerSettings, directory: string, place: string): Promise<Checker> {
  if (settings.checker === "module") return ModuleChecker.open(resolve(directory, settings.path), settings.limit_ms);
  const score = scorerOf(settings, place);
  return { check: async (row) => score(row), close: async () => undefined };
}

function scorerOf(settings: Exclude<CheckerSettings, { readonly checker: "module" }>, place: string): (row: CheckedRow) => number {
  switch (settings.checker) {
    case "exact":
      return (row) => exactScore(row, settings);
    case "number":
      return (row) => numberScore(row, settings);
    case "sorted":
      return (row) => sortedScore(row, settings);
    case "regex":
      return regexScorer(settings, place, timeLimit(settings.limit_ms, place));
    case "json-schema":
      return jsonSchemaScorer(settings, place, timeLimit(settings.limit_ms, place));
  }
}
