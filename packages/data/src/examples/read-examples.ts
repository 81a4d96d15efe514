import { isUtf8 } from "node:buffer";
import { type JsonValue, LapidaryError, suggest } from "@lapidary/std";
import { type Example, type RefusedRow, type RowSource, refusedRow } from "./example.js";
import { badRowFormat, badRowJson, badRowUtf8, noExamples } from "./example-errors.js";
import { detectFormat, type FormatName, formatNames, type JsonObject, type RowOptions, readRow, undecidedFormat } from "./formats.js";
import { readBytes } from "./read-bytes.js";
import { asObject, describeValue } from "./turns.js";

export interface ReadOptions extends RowOptions {
  /** The format of all rows. By default the keys of the rows decide. */
  readonly format?: FormatName;
}

/** The examples of a file. `examples` and `refused` together have every row, in order. Lines without text are not rows. */
export interface ExampleFile {
  readonly file: string;
  /** The format of the examples; undefined if there are none. */
  readonly format: FormatName | undefined;
  readonly examples: readonly Example[];
  readonly refused: readonly RefusedRow[];
}

/** The value of `format:` in a job file. @throws LapidaryError `LAP_EXAMPLE_FORMAT` */
export function formatNamed(name: string): FormatName {
  const known = formatNames.find((each) => each === name);
  if (known !== undefined) return known;
  const near = suggest(name, formatNames);
  throw badRowFormat(
    `${JSON.stringify(name)} is not a format of examples`,
    `${near === undefined ? "set" : `did you mean ${near}? Set`} one of ${formatNames.join(", ")}`,
  );
}

/**
 * Reads the examples of a file: JSON lines, or one JSON array; UTF-8, plain or compressed by gzip or zstd.
 *
 * @throws LapidaryError `LAP_DATA_MISSING`, `LAP_DATA_UNREADABLE`, `LAP_DATA_ARCHIVE`, `LAP_DATA_NOT_TEXT`, `LAP_DATA_TOO_LARGE` for the file.
 *   A bad row does not throw: it is in `refused`
 */
export function readExamples(path: string, options: ReadOptions = {}): ExampleFile {
  return parseExamples(readBytes(path), path, options);
}

/** The examples of the bytes of a file, already decompressed. */
export function parseExamples(bytes: Uint8Array, file: string, options: ReadOptions = {}): ExampleFile {
  const rows = rowsOf(bytes, file);
  const format = options.format ?? commonFormat(rows);
  const examples: Example[] = [];
  const refused: RefusedRow[] = [];
  for (const { source, value } of rows) {
    try {
      if (value instanceof LapidaryError) throw value;
      if (format === undefined) throw undecidedFormat(value);
      if (options.format === undefined) checkDetected(value, format);
      examples.push(readRow(value, format, source, options));
    } catch (error) {
      // Another error is a mistake of this program, not of the row.
      if (!(error instanceof LapidaryError)) throw error;
      refused.push(refusedRow(source, error));
    }
  }
  return { file, format, examples, refused };
}

/**
 * The texts of rows as they are in the file, without the line break; elements of a JSON array are written as JSON. A file of kept rows is made of them,
 * so that it has the keys of the user.
 *
 * @param numbers of rows, as in `RowSource`
 * @throws LapidaryError as `readExamples`
 */
export function rowTexts(path: string, numbers: ReadonlySet<number>): readonly string[] {
  const content = withoutMark(readBytes(path));
  const elements = arrayOf(content);
  if (elements !== undefined) return elements.flatMap((value, at) => (numbers.has(at + 1) ? [JSON.stringify(value)] : []));
  return [...linesOf(content)].flatMap(({ row, bytes }) => (numbers.has(row) ? [textOf(bytes).trim()] : []));
}

/** Throws if a file has no example. @throws LapidaryError `LAP_EXAMPLE_NONE` */
export function requireExamples({ file, examples, refused: [first] }: ExampleFile): void {
  if (examples.length === 0) throw noExamples(file, first === undefined ? undefined : `row ${first.row}: ${first.reason}`);
}

/** The format that most rows have; of equally frequent ones, that of the first row. A row with a misspelled key does not decide. */
function commonFormat(rows: readonly ParsedRow[]): FormatName | undefined {
  const counts = new Map<FormatName, number>();
  for (const { value } of rows) {
    const names = value instanceof LapidaryError ? [] : detectFormat(value);
    const [name] = names;
    if (name !== undefined && names.length === 1) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].reduce<[FormatName, number] | undefined>(
    (best, each) => (best === undefined || each[1] > best[1] ? each : best),
    undefined,
  )?.[0];
}

function checkDetected(row: JsonObject, format: FormatName): void {
  const names = detectFormat(row);
  if (names.length !== 1) throw undecidedFormat(row);
  if (names[0] !== format)
    throw badRowFormat(
      `the row has the format ${names[0]}, and most rows of the file have the format ${format}`,
      "complete the keys of the row, or move it to a file of its own",
    );
}

interface ParsedRow {
  readonly source: RowSource;
  /** The error if the row is not a JSON object. */
  readonly value: JsonObject | LapidaryError;
}

const newline = 0x0a;
/** A string has fewer than 2²⁹ characters. */
const maxRowBytes = 2 ** 29 - 32;

function rowsOf(bytes: Uint8Array, file: string): readonly ParsedRow[] {
  const content = withoutMark(bytes);
  const elements = arrayOf(content);
  if (elements !== undefined) return elements.map((value, at) => ({ source: { file, row: at + 1 }, value: objectOf(value) }));
  const rows: ParsedRow[] = [];
  for (const { row, bytes: line } of linesOf(content)) {
    const value = parseLine(line);
    if (value !== undefined) rows.push({ source: { file, row }, value });
  }
  return rows;
}

/** Without the byte order mark. */
function withoutMark(bytes: Uint8Array): Uint8Array {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return hasMark ? bytes.subarray(3) : bytes;
}

function* linesOf(content: Uint8Array): Generator<{ readonly row: number; readonly bytes: Uint8Array }> {
  for (let start = 0, row = 1; start < content.length; row++) {
    const found = content.indexOf(newline, start);
    const end = found < 0 ? content.length : found;
    yield { row, bytes: content.subarray(start, end) };
    start = end + 1;
  }
}

/** The elements if the whole file is one JSON array. */
function arrayOf(bytes: Uint8Array): readonly JsonValue[] | undefined {
  const head = bytes.subarray(0, 1024).find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  if (head !== 0x5b || bytes.length > maxRowBytes || !isUtf8(bytes)) return undefined;
  try {
    const value = JSON.parse(textOf(bytes)) as JsonValue;
    return Array.isArray(value) ? (value as readonly JsonValue[]) : undefined;
  } catch {
    // The file is read line by line, and each bad line is refused.
    return undefined;
  }
}

/** @returns undefined for a line without text */
function parseLine(bytes: Uint8Array): JsonObject | LapidaryError | undefined {
  if (bytes.length > maxRowBytes) return badRowJson("is longer than 512 MB");
  if (!isUtf8(bytes)) return badRowUtf8("the row is not valid UTF-8");
  const text = textOf(bytes).trim();
  if (text === "") return undefined;
  try {
    return objectOf(JSON.parse(text) as JsonValue);
  } catch (cause) {
    return badRowJson(`is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function objectOf(value: JsonValue): JsonObject | LapidaryError {
  const object = asObject(value);
  return object === undefined ? badRowJson(`is ${describeValue(value)}, not a JSON object`) : (object as JsonObject);
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
