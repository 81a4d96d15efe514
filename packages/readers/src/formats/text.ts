import { isUtf8 } from "node:buffer";
import type { Account } from "@lapidary/data-store";
import { textPieces } from "../bytes/text-pieces.js";
import type { Pieces } from "../bytes/unpacked.js";
import { acceptedText, defaultMaxDocumentBytes, type FileInput } from "../document.js";
import type { FoundDocument } from "./found.js";

/** The whole file as one document: text, code or a page. Returns the error of the file. */
export async function* readText(
  pieces: Pieces,
  input: FileInput,
  account: Account,
  mediaType: FoundDocument["mediaType"],
): AsyncGenerator<FoundDocument, string | undefined> {
  const { bytes, isTooLarge, error } = await readAll(textPieces(pieces), input.maxDocumentBytes ?? defaultMaxDocumentBytes);
  // A part of a file is not the document.
  if (error !== undefined) return error;
  account.enter();
  const read = isTooLarge ? { dropped: "too large" } : readBytes(bytes);
  if ("dropped" in read) account.drop(read.dropped);
  else yield { place: "whole", name: input.file, text: read.text, mediaType };
  return undefined;
}

function readBytes(bytes: Buffer): ReturnType<typeof acceptedText> {
  if (bytes.includes(0)) return { dropped: "not text" };
  return isUtf8(bytes) ? acceptedText(bytes.toString("utf8")) : { dropped: "not UTF-8" };
}

async function readAll(
  pieces: Pieces,
  maxBytes: number,
): Promise<{ readonly bytes: Buffer; readonly isTooLarge: boolean; readonly error: string | undefined }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return { bytes: Buffer.concat(parts), isTooLarge: bytes > maxBytes, error: next.value };
    if (typeof next.value === "string") continue;
    bytes += next.value.length;
    if (bytes <= maxBytes) parts.push(next.value);
    else parts.length = 0;
  }
}
