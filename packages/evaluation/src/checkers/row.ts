import type { JsonValue } from "@lapidary/std";
import { badCheckedRow } from "../evaluation-errors.js";

/** What a checker reads: one prompt, the answer of the model, and the further columns of the prompt's row. */
export interface CheckedRow {
  readonly prompt: string;
  /** Text of the answer without control tokens. The rule for cut-off answers is not a matter of the checker. */
  readonly answer: string;
  readonly columns: Readonly<Record<string, JsonValue>>;
}

/** @throws LapidaryError LAP_CHECKER_ROW if the row lacks the column */
export function columnOf({ columns }: CheckedRow, column: string): JsonValue {
  const value = Object.hasOwn(columns, column) ? columns[column] : undefined;
  if (value === undefined) throw badCheckedRow(column, `the row has no column ${column}; it has ${listed(Object.keys(columns))}`);
  return value;
}

const listed = (names: readonly string[]): string => (names.length === 0 ? "none" : names.join(", "));

/** @throws LapidaryError LAP_CHECKER_ROW if the column is missing or not text */
export function textColumn(row: CheckedRow, column: string): string {
  const value = columnOf(row, column);
  if (typeof value !== "string") throw badCheckedRow(column, `column ${column} is ${JSON.stringify(value)}, expected a string`);
  return value;
}
