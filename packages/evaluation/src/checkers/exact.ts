import { badCheckedRow } from "../evaluation-errors.js";
import { type CheckedRow, columnOf } from "./row.js";

export interface ExactSettings {
  /** The column with the right answer, or with a list of right answers. */
  readonly column: string;
  readonly ignore_case: boolean;
}

/**
 * 1 if the answer is one of the right answers, else 0. Both are compared in Unicode's form NFC and without white space at the ends.
 *
 * @throws LapidaryError LAP_CHECKER_ROW if the column is missing, or is neither text nor a number nor a list of these
 */
export function exactScore(row: CheckedRow, { column, ignore_case }: ExactSettings): number {
  const normalized = (text: string): string => {
    const trimmed = text.normalize("NFC").trim();
    return ignore_case ? trimmed.toLowerCase() : trimmed;
  };
  const answer = normalized(row.answer);
  return rightAnswers(row, column).some((right) => normalized(right) === answer) ? 1 : 0;
}

function rightAnswers(row: CheckedRow, column: string): readonly string[] {
  const value = columnOf(row, column);
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (all.length === 0) throw badCheckedRow(column, `column ${column} is an empty list, expected at least one right answer`);
  return all.map((each) => {
    if (typeof each !== "string" && typeof each !== "number")
      throw badCheckedRow(column, `column ${column} is ${JSON.stringify(value)}, expected a string, a number or a list of these`);
    return String(each);
  });
}
