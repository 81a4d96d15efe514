import { badJsonLine } from "../data-errors.js";
import { decodeUtf8 } from "./utf8.js";

const newline = 0x0a;

/**
 * The texts of a JSONL file with the number of their lines, from 1. Empty lines are passed over.
 *
 * @param textField which field of each object holds the text
 * @throws LapidaryError `LAP_DATA_NOT_UTF8`, `LAP_DATA_JSONL`
 */
export function* readJsonLines(bytes: Uint8Array, path: string, textField: string): Generator<{ line: number; text: string }> {
  let line = 0;
  for (let start = 0; start < bytes.length; ) {
    line++;
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    const raw = decodeUtf8(bytes.subarray(start, end), path, start).trim();
    start = end + 1;
    if (raw !== "") yield { line, text: textOf(raw, path, line, textField) };
  }
}

function textOf(raw: string, path: string, line: number, textField: string): string {
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch (cause) {
    throw badJsonLine(path, line, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw badJsonLine(path, line, "is not a JSON object");
  const text: unknown = Object.getOwnPropertyDescriptor(value, textField)?.value;
  if (text === undefined)
    throw badJsonLine(
      path,
      line,
      `has no field \`${textField}\`, only ${
        Object.keys(value)
          .map((key) => `\`${key}\``)
          .join(", ") || "none"
      }`,
    );
  if (typeof text !== "string") throw badJsonLine(path, line, `has in \`${textField}\` no string`);
  return text;
}
