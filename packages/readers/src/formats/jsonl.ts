import { isUtf8 } from "node:buffer";
import type { Account } from "@lapidary/data-store";
import { parsedJson } from "@lapidary/std";
import { textPieces } from "../bytes/text-pieces.js";
import type { Pieces } from "../bytes/unpacked.js";
import { acceptedText, asObject, defaultMaxDocumentBytes, type FileInput, fieldOf, nameOf } from "../document.js";
import { readLines } from "./lines.js";
import type { FoundDocument } from "./found.js";

/** Blanks of JSON. A line of them is not a document and is not counted. */
const blankLine = /^[ \t\r]*$/;

/** One document for each line that is a JSON object with a text. Returns the error of the file. */
export async function* readJsonl(pieces: Pieces, input: FileInput, account: Account): AsyncGenerator<FoundDocument, string | undefined> {
  // The format of a file is known by its first bytes, which a range may lack.
  const text = input.range === undefined ? textPieces(pieces) : pieces;
  const lines = readLines(text, input.maxDocumentBytes ?? defaultMaxDocumentBytes, input.range?.line);
  for (;;) {
    const next = await lines.next();
    if (next.done === true) return next.value;
    const { number, bytes } = next.value;
    const read = bytes === undefined ? { dropped: "too large" } : readLine(bytes, input);
    if (read === undefined) continue;
    account.enter();
    if ("dropped" in read) account.drop(read.dropped);
    else {
      const place = `line ${number}`;
      yield { place, name: nameOf(read.name, place), text: read.text, mediaType: "text/plain" };
    }
  }
}

function readLine(
  bytes: Buffer,
  input: FileInput,
): { readonly text: string; readonly name: unknown } | { readonly dropped: string } | undefined {
  if (!isUtf8(bytes)) return { dropped: "not UTF-8" };
  const raw = bytes.toString("utf8");
  if (blankLine.test(raw)) return undefined;
  const value = parsedJson(raw);
  if (value === undefined) return { dropped: "bad JSON" };
  const object = asObject(value);
  if (object === undefined) return { dropped: "not an object" };
  const read = acceptedText(fieldOf(object, input.textField ?? "text"));
  return "dropped" in read ? read : { text: read.text, name: fieldOf(object, input.nameField ?? "id") };
}
