import { asObject, fieldOf } from "@lapidary/readers";
import { badJsonLine } from "../data-errors.js";
import { decodeUtf8 } from "./utf8.js";

const newline = 0x0a;
/** A string has fewer than 2²⁹ characters. */
const maxLineBytes = 2 ** 29 - 32;

/** A text of a JSON file, with the number of its line or element, from 1. */
export interface JsonText {
  readonly line: number;
  readonly text: string;
}

/**
 * The form in which a file stores texts as JSON objects: `lines`, one object a line, or `array`, one list. The name or the first lines decide.
 * The first lines must be objects, and in a directory the objects must have the field.
 */
export function jsonForm(
  bytes: Uint8Array,
  name: string,
  { single, textField }: { readonly single: boolean; readonly textField: string },
): "lines" | "array" | undefined {
  if (/\.(jsonl|ndjson)$/i.test(name)) return "lines";
  if (!single && !/\.json$/i.test(name)) return undefined;
  const head = new TextDecoder().decode(bytes.subarray(0, probeBytes)).trimStart();
  if (head.startsWith("[") && /\.json$/i.test(name)) return isArrayOfTexts(bytes, single ? undefined : textField) ? "array" : undefined;
  if (!head.startsWith("{")) return undefined;
  const lines = firstLines(head, 3, bytes.length > probeBytes).map(parsedObject);
  const isLines =
    lines.length > 0 && lines.every((object) => object !== undefined && (single || typeof fieldOf(object, textField) === "string"));
  return isLines ? "lines" : undefined;
}

/** The number of bytes that are inspected. A file with a longer first line is JSON only if its name says so. */
const probeBytes = 1 << 20;

/** The first nonempty lines. @param isCut whether the last line of `head` may be incomplete */
function firstLines(head: string, count: number, isCut: boolean): string[] {
  const lines = head.split("\n");
  return (isCut ? lines.slice(0, -1) : lines)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(0, count);
}

function parsedObject(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(line));
  } catch {
    // The file is not JSON, so it is plain text.
    return undefined;
  }
}

function isArrayOfTexts(bytes: Uint8Array, textField: string | undefined): boolean {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(value) || value.length === 0) return false;
    const objects = value.slice(0, 3).map(asObject);
    return objects.every((object) => object !== undefined && (textField === undefined || typeof fieldOf(object, textField) === "string"));
  } catch {
    // The file is not JSON, so it is plain text.
    return false;
  }
}

/**
 * The texts of JSON lines. Empty lines are skipped.
 *
 * @param textField the field with the text of each object
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_JSONL`
 */
export function* readJsonLines(bytes: Uint8Array, path: string, textField: string): Generator<JsonText> {
  let line = 0;
  for (let start = 0; start < bytes.length; ) {
    line++;
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    if (end - start > maxLineBytes)
      throw badJsonLine(path, line, "is longer than 512 MB", "split its text into several objects, one a line");
    const raw = decodeUtf8(bytes.subarray(start, end), path, start).trim();
    start = end + 1;
    if (raw !== "") yield { line, text: textOf(parse(raw, path, line), path, line, textField) };
  }
}

/** The texts of one JSON array of objects, after `jsonForm` has returned `array`. */
export function* readJsonArray(bytes: Uint8Array, path: string, textField: string): Generator<JsonText> {
  const values = JSON.parse(decodeUtf8(bytes, path)) as unknown[];
  for (const [at, value] of values.entries()) yield { line: at + 1, text: textOf(value, path, at + 1, textField) };
}

function parse(raw: string, path: string, line: number): unknown {
  try {
    return JSON.parse(raw);
  } catch (cause) {
    const isPretty = raw === "{" || raw === "[" || raw === "}," || raw === "]";
    if (raw.endsWith(",") && parsedObject(raw.slice(0, -1)) !== undefined)
      throw badJsonLine(
        path,
        line,
        "ends with a comma",
        "a line is one JSON object alone: remove the commas with `sed 's/,[[:space:]]*$//' FILE > NEW.jsonl`",
      );
    throw badJsonLine(
      path,
      line,
      isPretty
        ? "is not JSON by itself: the file is JSON over several lines"
        : `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      isPretty ? `write one object a line, for instance with \`jq -c '.[]?' FILE > NEW.jsonl\`` : undefined,
    );
  }
}

function textOf(value: unknown, path: string, line: number, textField: string): string {
  const object = asObject(value);
  if (object === undefined)
    throw badJsonLine(
      path,
      line,
      `is ${describe(value)}, not a JSON object`,
      Array.isArray(value)
        ? `write one object a line, for instance with \`jq -c ${typeof value[0] === "string" ? "'.[] | {text: .}'" : "'.[]'"} FILE > NEW.jsonl\``
        : undefined,
    );
  const text = fieldOf(object, textField);
  if (typeof text === "string") return text;
  if (isConversation(text)) throw conversation(path, line, textField);
  if (text !== undefined)
    throw badJsonLine(path, line, `has ${describe(text)} in \`${textField}\`, not a string`, remedyFor(object, textField));
  const chat = Object.keys(object).find((key) => isConversation(object[key]));
  if (chat !== undefined) throw conversation(path, line, chat);
  const names = Object.keys(object).map((key) => `\`${key}\``);
  throw badJsonLine(path, line, `has no field \`${textField}\`, only ${names.join(", ") || "none"}`, remedyFor(object, textField));
}

/** A list of turns with role and content, as in chat datasets. */
const isConversation = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((turn) => {
    const object = asObject(turn);
    return object !== undefined && ("role" in object || "from" in object) && ("content" in object || "value" in object);
  });

const conversation = (path: string, line: number, field: string): ReturnType<typeof badJsonLine> =>
  badJsonLine(
    path,
    line,
    `has a conversation in \`${field}\` (a list of turns with role and content), which pretraining does not read`,
    "train on it with `recipe: sft`; or write each conversation as one text, with a marker before each turn, in the field of data.text_field",
  );

const describe = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;

/** Field names of the text in other datasets, the likeliest first. */
const commonFields = ["text", "content", "body", "document", "raw_content", "code", "completion", "story", "article", "markdown"];

function remedyFor(object: Record<string, unknown>, textField: string): string | undefined {
  const common = commonFields.find((field) => field !== textField && typeof object[field] === "string");
  if (common !== undefined) return proposal(common);
  const nested = nestedField(object, textField);
  if (nested !== undefined) return `the text may be inside \`${nested.split(".")[0]}\`: ${proposal(nested)}`;
  const strings = Object.keys(object).filter((key) => key !== textField && typeof object[key] === "string");
  const longest = strings.sort((a, b) => String(object[b]).length - String(object[a]).length)[0];
  return longest === undefined ? undefined : proposal(longest);
}

const proposal = (field: string): string => `set \`data.text_field: ${field}\` if that field is the text`;

/** A common field inside another field, such as `meta.text`. */
function nestedField(object: Record<string, unknown>, except: string): string | undefined {
  for (const [key, value] of Object.entries(object))
    for (const field of commonFields)
      if (`${key}.${field}` !== except && typeof asObject(value)?.[field] === "string") return `${key}.${field}`;
  return undefined;
}
