import { createReadStream } from "node:fs";
import type { Account } from "@lapidary/data-store";
import { isSystemError } from "@lapidary/std";
import { formatOf } from "./bytes/file-format.js";
import { type Pieces, unpackedPieces } from "./bytes/unpacked.js";
import { documentId, type FileInput, type SourceDocument } from "./document.js";
import type { FoundDocument } from "./formats/found.js";
import { readJsonl } from "./formats/jsonl.js";
import { readParquet } from "./formats/parquet.js";
import { readText } from "./formats/text.js";
import { readWarc } from "./formats/warc.js";

/** Compression formats by the end of the name. */
const compressions = { gz: "gzip", gzip: "gzip", zst: "zstd", zstd: "zstd" } as const;

/**
 * The documents of a file, in order. The end of the name decides the format: `.jsonl` and `.ndjson`, `.parquet`, `.warc`
 * and `.wet`, `.html`, or text for all other names; each may end in `.gz` or `.zst`.
 *
 * The account counts each document that the file has. Damage is counted by reason, or is an error of the file. An error
 * of the file system is an error of the file too.
 */
export async function* readFile(input: FileInput, account: Account): AsyncGenerator<SourceDocument> {
  try {
    const found = documentsOf(input, await packingOf(input), account);
    for (;;) {
      const next = await found.next();
      if (next.done === true) {
        if (next.value !== undefined) account.fail(input.file, next.value);
        return;
      }
      account.deliver(next.value.text);
      yield { id: documentId(input.source, input.file, next.value.place), source: input.source, file: input.file, ...next.value };
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    account.fail(input.file, `unreadable: ${error.code}`);
  }
}

function documentsOf(
  input: FileInput,
  packing: "gzip" | "zstd" | "none",
  account: Account,
): AsyncGenerator<FoundDocument, string | undefined> {
  const name = input.file.replace(/\.(gz|gzip|zst|zstd)$/i, "");
  const pieces = (): Pieces => unpackedPieces(input.path, packing, input.range);
  if (/\.(jsonl|ndjson)$/i.test(name)) return readJsonl(pieces(), input, account);
  if (/\.(parquet|pq)$/i.test(name)) return readParquet(input, account);
  if (/\.(warc|wet)$/i.test(name)) return readWarc(pieces(), input, account);
  return readText(pieces(), input, account, /\.(html?|xhtml)$/i.test(name) ? "text/html" : "text/plain");
}

/** The name says how a file is packed, so that a damaged file is reported. Without such a name, the first bytes say it. */
async function packingOf({ path, file }: FileInput): Promise<"gzip" | "zstd" | "none"> {
  const end = /\.(gz|gzip|zst|zstd)$/i.exec(file)?.[1]?.toLowerCase();
  if (end !== undefined) return compressions[end as keyof typeof compressions];
  for await (const head of createReadStream(path, { end: 511 })) {
    const { kind } = formatOf(head as Buffer);
    return kind === "gzip" || kind === "zstd" ? kind : "none";
  }
  return "none";
}
