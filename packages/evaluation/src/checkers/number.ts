import { badCheckedRow } from "../evaluation-errors.js";
import { type CheckedRow, columnOf } from "./row.js";

export interface NumberSettings {
  /** The column with the right number, as a number or as text. */
  readonly column: string;
  /** `last`: the last number in the answer counts; `whole`: the answer is a number and nothing else. */
  readonly take: "last" | "whole";
  /** Largest difference that counts as right. */
  readonly tolerance: number;
  /** The same as a share of the right number. The larger of both tolerances counts. */
  readonly relative_tolerance: number;
}

/**
 * A decimal number with sign, currency, commas between groups of three digits, fraction and exponent, all optional but the digits:
 *
 *     -1,234.5e6   $12   -$3.50   .25   50 (of "50%")   5 (of "5km")   3 (of "5-3")
 *
 * A number is not a part of a word ("x2"), of a version ("1.2.3"), of a fraction or date ("1/2"), of a time ("12:30"), or of "1,2", which can
 * be a list or a decimal comma. A repetition matches in one way only, and no match starts inside of a number, so that the time is linear.
 */
const numberPattern =
  /(?:(?<![\p{L}\p{N}_)\]])(?<sign>[-+−])[$€£]?|(?<![\p{L}\p{N}_])(?<!\p{N}[.,:/]))(?<whole>\d{1,3}(?:,\d{3})+|\d+)?(?:\.(?<fraction>\d+))?(?<=\d)(?:[eE](?<exponent>[-+]?\d+))?(?!\d|[.,:/]\d)/gu;

/** A number in a text. */
interface ReadNumber {
  readonly value: number;
  /** Sign, digits without zeros at the ends, and exponent: equal for equal decimals, also beyond the precision of `value`. */
  readonly decimal: string;
}

/**
 * 1 if the number in the answer is the right one, else 0. Without tolerance the decimals must be equal, digit by digit.
 *
 * @throws LapidaryError LAP_CHECKER_ROW if the column is missing or not a number
 */
export function numberScore(row: CheckedRow, settings: NumberSettings): number {
  const expected = columnOf(row, settings.column);
  const right = typeof expected === "number" || typeof expected === "string" ? wholeNumber(String(expected)) : undefined;
  if (right === undefined)
    throw badCheckedRow(settings.column, `column ${settings.column} is ${JSON.stringify(expected)}, expected a number`);
  const given = settings.take === "whole" ? wholeNumber(row.answer) : lastNumber(row.answer);
  return given !== undefined && agree(given, right, settings) ? 1 : 0;
}

function agree(given: ReadNumber, right: ReadNumber, { tolerance, relative_tolerance }: NumberSettings): boolean {
  if (given.decimal === right.decimal) return true;
  const allowed = Math.max(tolerance, relative_tolerance * Math.abs(right.value));
  return allowed > 0 && Math.abs(given.value - right.value) <= allowed;
}

/** @returns the last number in the text; undefined if there is none */
function lastNumber(text: string): ReadNumber | undefined {
  let last: RegExpExecArray | undefined;
  for (const match of text.matchAll(numberPattern)) last = match;
  return last === undefined ? undefined : readNumber(last);
}

/** @returns the number that the text is, apart from white space at its ends; undefined if it is anything else */
function wholeNumber(text: string): ReadNumber | undefined {
  const trimmed = text.trim();
  const [match] = trimmed.matchAll(numberPattern);
  return match !== undefined && match[0].length === trimmed.length ? readNumber(match) : undefined;
}

function readNumber({ groups = {} }: RegExpExecArray): ReadNumber {
  const sign = groups["sign"] === "-" || groups["sign"] === "−" ? "-" : "";
  const whole = (groups["whole"] ?? "").replaceAll(",", "");
  const fraction = groups["fraction"] ?? "";
  const exponent = Number(groups["exponent"] ?? 0);
  const value = Number(`${sign}${whole === "" ? "0" : whole}.${fraction === "" ? "0" : fraction}e${exponent}`);
  const digits = whole + fraction;
  const start = digits.search(/[1-9]/);
  if (start === -1) return { value, decimal: "0" };
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return { value, decimal: `${sign}${digits.slice(start, end)}e${exponent - fraction.length + digits.length - end}` };
}
