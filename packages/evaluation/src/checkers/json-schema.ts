import { isDeepStrictEqual } from "node:util";
import type { JsonValue } from "@lapidary/std";
import { Ajv } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { badCheckedRow, badCheckerSetting } from "../evaluation-errors.js";
import { type CheckedRow, columnOf } from "./row.js";
import type { TimeLimit } from "./time-limit.js";

export interface JsonSchemaSettings {
  /** The schema of all rows; exactly one of `schema` and `column` is set. */
  readonly schema?: JsonValue | undefined;
  /** The column with the schema of each row. */
  readonly column?: string | undefined;
}

/** Answers that nest deeper do not match, so that a recursive schema cannot exhaust the stack. */
const maxJsonDepth = 200;

type Validate = (value: unknown) => boolean;

/**
 * Makes the checker: 1 if the answer is JSON that matches the schema, else 0.
 *
 * Ajv validates: draft 2020-12, or draft-07 if `$schema` names it. Unknown keywords, `format` and references to other documents are refused.
 * Schema and answer are untrusted (`pattern` is a regular expression), so that compiling and validating run under `limit`.
 *
 * @returns a function that throws LAP_CHECKER_TIMEOUT, and LAP_CHECKER_ROW for a row without a valid schema
 * @throws LapidaryError LAP_CHECKER_SETTING if the schema of all rows is invalid
 */
export function jsonSchemaScorer(settings: JsonSchemaSettings, place: string, limit: TimeLimit): (row: CheckedRow) => number {
  const { schema, column = "" } = settings;
  const invalid = (why: string): Error =>
    badCheckerSetting(place, `the schema is invalid: ${why}`, "correct the JSON schema: draft 2020-12 without `format` and remote `$ref`");
  const invalidInRow = (why: string): Error => badCheckedRow(column, `the schema in column ${column} is invalid: ${why}`);
  const ofAllRows = schema === undefined ? undefined : compile(schema, limit, invalid);
  let last: { readonly schema: JsonValue; readonly validate: Validate } | undefined;
  const ofRow = (row: CheckedRow): Validate => {
    const own = columnOf(row, column);
    // The completions of one prompt come one after another, and each compilation takes milliseconds.
    if (last === undefined || !isDeepStrictEqual(last.schema, own)) last = { schema: own, validate: compile(own, limit, invalidInRow) };
    return last.validate;
  };
  return (row) => {
    const validate = ofAllRows ?? ofRow(row);
    const value = jsonOf(row.answer);
    if (value === undefined || isDeeperThan(value, maxJsonDepth)) return 0;
    return matches(validate, value, limit, schema === undefined ? invalidInRow : invalid) ? 1 : 0;
  };
}

function matches(validate: Validate, value: JsonValue, limit: TimeLimit, invalid: (why: string) => Error): boolean {
  try {
    return limit(() => validate(value));
  } catch (error) {
    // A schema that refers to itself without end, as in {"$ref": "#"}.
    if (error instanceof RangeError) throw invalid("it refers to itself without end");
    throw error;
  }
}

function compile(schema: JsonValue, limit: TimeLimit, invalid: (why: string) => Error): Validate {
  if (typeof schema !== "boolean" && (typeof schema !== "object" || schema === null || Array.isArray(schema)))
    throw invalid(`it is ${JSON.stringify(schema)}, expected an object or a boolean`);
  const dialect = typeof schema === "object" && "$schema" in schema ? schema["$schema"] : undefined;
  const isDraft7 = typeof dialect === "string" && /^http:\/\/json-schema\.org\/draft-07\/schema#?$/.test(dialect);
  const options = { strict: true, strictTypes: false, strictTuples: false, strictRequired: false, logger: false } as const;
  const validate = limit(() => {
    try {
      return (isDraft7 ? new Ajv(options) : new Ajv2020(options)).compile(schema as object | boolean);
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error));
    }
  });
  // `$async` is Ajv's own keyword. Such a validation returns a promise, which is never false.
  if ("$async" in validate) throw invalid("$async is not supported");
  return validate;
}

/** @returns undefined if the text is not JSON */
function jsonOf(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Level by level, without recursion. */
function isDeeperThan(value: JsonValue, limit: number): boolean {
  let level: readonly JsonValue[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
  return false;
}
