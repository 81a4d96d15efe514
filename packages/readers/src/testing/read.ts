import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Account, type AccountCounts } from "@lapidary/data-store";
import type { FileInput, SourceDocument } from "../document.js";
import { readFile } from "../read-file.js";

export interface ReadResult {
  readonly documents: readonly SourceDocument[];
  readonly texts: readonly string[];
  readonly counts: AccountCounts;
  /** The error of the file. */
  readonly error: string | undefined;
}

/** Reads a file with these bytes. */
export async function read(
  file: string,
  bytes: string | Uint8Array,
  how: Partial<Pick<FileInput, "textField" | "nameField" | "maxDocumentBytes">> = {},
): Promise<ReadResult> {
  const folder = mkdtempSync(join(tmpdir(), "lapidary-readers-"));
  try {
    writeFileSync(join(folder, file), bytes);
    return await readPath({ path: join(folder, file), file, source: "test", ...how });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function readPath(input: FileInput): Promise<ReadResult> {
  const account = new Account();
  const documents: SourceDocument[] = [];
  for await (const document of readFile(input, account)) documents.push(document);
  const counts = account.counts(input.file);
  return { documents, texts: documents.map(({ text }) => text), counts, error: counts.errors[0]?.reason };
}

/** Lines of JSON objects with the texts. */
export const jsonl = (texts: readonly string[]): string => texts.map((text, i) => `${JSON.stringify({ id: `d${i}`, text })}\n`).join("");

export const numbered = (count: number, words = "text of a document"): string[] =>
  Array.from({ length: count }, (_, i) => `${words} ${i + 1}`);
