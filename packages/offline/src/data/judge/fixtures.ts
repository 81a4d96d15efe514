import { readdirSync, readFileSync } from "node:fs";
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

/** A file of fixtures as bytes. Errors are LAP_FILE_…. */
export const fixtureBytes = (fixtures: string, path: string): Buffer => reading(join(fixtures, path), (file) => readFileSync(file));

/** A JSON file of fixtures. Errors are those of `fixtureRows`. */
export const fixtureJson = <T>(fixtures: string, path: string, schema: z.ZodType<T>): T =>
  parsed(readFixture(join(fixtures, path)), schema, join(fixtures, path));

/** The files of a folder of fixtures whose names match, sorted; relative to the fixtures. Errors are LAP_FILE_…. */
export const fixtureFiles = (fixtures: string, folder: string, name: RegExp): string[] =>
  reading(join(fixtures, folder), (path) => readdirSync(path))
    .filter((each) => name.test(each))
    .sort()
    .map((each) => join(folder, each));

const readFixture = (file: string): string => reading(file, (path) => readFileSync(path, "utf8"));

function reading<T>(path: string, read: (path: string) => T): T {
  try {
    return read(path);
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the fixtures", place: path }) : error;
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
