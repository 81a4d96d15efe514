import { isUtf8 } from "node:buffer";
import { badJsonLine, notUtf8 } from "../data-errors.js";
import { findText } from "./json-text.js";
import { quote } from "./file-kind.js";
import { firstInvalidByte } from "./utf8.js";

const newline = 0x0a;

/** A text of a JSONL file; undefined where the field is null. */
export interface JsonLine {
  /** From 1. */
  readonly line: number;
  readonly text: string | undefined;
}

/**
 * The texts of a JSONL file with the number of their lines. Empty lines are passed over.
 *
 * @param textField which field of each object holds the text
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_JSONL`
 */
export function* readJsonLines(bytes: Buffer, path: string, textField: string): Generator<JsonLine> {
  if (!isUtf8(bytes)) throw notUtf8(path, bytes, firstInvalidByte(bytes));
  let line = 0;
  for (let start = 0; start < bytes.length; ) {
    line++;
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    const raw = decoded(bytes, start, end, path, line);
    start = end + 1;
    if (raw !== "") yield { line, text: textOf(raw, path, line, textField) };
  }
}

/** One line as text; a byte order mark counts as a blank. */
function decoded(bytes: Buffer, start: number, end: number, path: string, line: number): string {
  try {
    return bytes.toString("utf8", start, end).trim();
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ERR_STRING_TOO_LONG")
      throw badJsonLine(path, line, "is longer than a text can be in memory", "cut the text into several lines");
    throw cause;
  }
}

function textOf(raw: string, path: string, line: number, textField: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch (cause) {
    throw badJsonLine(path, line, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, notJsonRemedy(raw, path, line));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badJsonLine(path, line, "is not a JSON object", notObjectRemedy(value, path));
  const found = findText(value, textField);
  if ("problem" in found) throw badJsonLine(path, line, found.problem, found.remedy);
  return "text" in found ? found.text : undefined;
}

const jq = (filter: string, path: string): string => `\`jq -c ${filter} ${quote(path)} > corpus.jsonl\``;

function notJsonRemedy(raw: string, path: string, line: number): string | undefined {
  if (raw.endsWith(",") && isJson(raw.slice(0, -1))) return "take off the comma at the end of each line: a line is one whole JSON object";
  if (line === 1 && (raw.startsWith("[") || raw === "{" || raw.startsWith("{")) && raw.length < 1024 && !raw.endsWith("}"))
    return `if the file is one JSON value over several lines, write one object a line with ${jq(raw.startsWith("[") ? "'.[]'" : ".", path)}`;
  return undefined;
}

function notObjectRemedy(value: unknown, path: string): string | undefined {
  if (!Array.isArray(value)) return typeof value === "string" ? `write objects with ${jq("'{text: .}'", path)}` : undefined;
  return typeof value[0] === "string"
    ? `write one object a line with ${jq("'.[] | {text: .}'", path)}`
    : `write one object a line with ${jq("'.[]'", path)}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether a text begins with lines that are a JSON object each and have their text in `textField`: JSONL by another name. */
export function looksLikeJsonLines(bytes: Buffer, textField: string, least: number): boolean {
  if (!/^(\xef\xbb\xbf)?\s*\{/.test(bytes.toString("latin1", 0, 64))) return false;
  let seen = 0;
  for (let start = 0; start < bytes.length && seen < least; ) {
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    if (end - start > 1 << 24) return false;
    const raw = bytes.toString("utf8", start, end).trim();
    start = end + 1;
    if (raw === "") continue;
    if (!raw.startsWith("{") || !raw.endsWith("}") || !isJson(raw) || !("text" in findText(JSON.parse(raw) as object, textField)))
      return false;
    seen++;
  }
  return seen >= least;
}
