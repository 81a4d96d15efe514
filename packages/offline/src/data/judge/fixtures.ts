import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { z } from "zod";

/**
 * The rows of a JSONL file of fixtures.
 *
 * @throws LapidaryError LAP_FIXTURES if a row is not JSON of the schema, LAP_FILE_… if the file cannot be read
 */
export function fixtureRows<T>(fixtures: string, path: string, schema: z.ZodType<T>): T[] {
  const file = join(fixtures, path);
  return readFixture(file)
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [parsed(line, schema, `${file}:${i + 1}`)]));
}

function readFixture(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the fixtures", place: file }) : error;
  }
}

function parsed<T>(text: string, schema: z.ZodType<T>, location: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badFixture("the text is not JSON", location);
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw badFixture(`\`${issue?.path.join(".") ?? ""}\`: ${issue?.message ?? "the value has another form"}`, location);
}

const badFixture = (message: string, location: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_FIXTURES",
    message,
    location,
    remedy: "give the directory of fixtures with the files that its judge.py reads",
  });
