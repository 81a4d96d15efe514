import type { Account } from "@lapidary/data-store";
import { ByteReader } from "../bytes/byte-reader.js";
import { PieceRuns } from "../bytes/piece-runs.js";
import type { Pieces } from "../bytes/unpacked.js";
import { acceptedText, defaultMaxDocumentBytes, type FileInput } from "../document.js";
import type { FoundDocument } from "./found.js";
import { headerFields, type HeaderFields, readResponse } from "./http-response.js";

const maxLineBytes = 64 * 1024;
const maxHeaderBytes = 1024 * 1024;
/** They follow a record, and are not part of it. */
const lineEnds = "\r\n\r\n";

interface WarcRecord {
  readonly fields: HeaderFields;
  /** Undefined if the record is larger than the limit. */
  readonly block: Buffer | undefined;
  /** Whether the two line ends after the block are there. */
  readonly hasEnd: boolean;
}

/**
 * One document for each response (ISO 28500): its payload, before any extraction. In files whose name says `.wet`,
 * records of the type `conversion` are documents too. Returns the error of the file.
 */
export async function* readWarc(pieces: Pieces, input: FileInput, account: Account): AsyncGenerator<FoundDocument, string | undefined> {
  const runs = new PieceRuns(pieces);
  let number = 0;
  let damage: string | undefined;
  while (await runs.hasNext()) {
    const reader = new ByteReader(runs.bytes());
    for (;;) {
      const record = await readRecord(reader, input);
      if (record === undefined) break;
      if (typeof record === "string") {
        damage ??= number === 0 && record === "damaged" ? "not WARC" : record;
        break;
      }
      const isLast = (await reader.peek(1)).length === 0;
      // The member has not ended, so its checksum is not known.
      if (isLast && runs.end === "cut") break;
      if (isLast && !record.hasEnd) damage ??= "truncated";
      number++;
      if (isDocument(record.fields, input.file)) yield* readDocument(record, `record ${number}`, account);
    }
    await runs.skip();
  }
  return runs.error ?? damage;
}

function* readDocument({ fields, block }: WarcRecord, place: string, account: Account): Generator<FoundDocument> {
  account.enter();
  const isHttp = /^application\/http\b/i.test(fields.get("content-type") ?? "");
  const response = block === undefined ? { dropped: "too large" } : readResponse(block, isHttp ? undefined : fields);
  const read = "dropped" in response ? response : acceptedText(response.text);
  if ("dropped" in read) account.drop(read.dropped);
  else {
    const uri = fields.get("warc-target-uri")?.replace(/^<|>$/g, "");
    yield { place, name: uri ?? place, text: read.text, mediaType: "mediaType" in response ? response.mediaType : "text/plain" };
  }
}

const isDocument = (fields: HeaderFields, file: string): boolean => {
  const type = fields.get("warc-type");
  return type === "response" || (type === "conversion" && /\.wet(\.|$)/i.test(file));
};

/** The next record; undefined at the end; `truncated` if the bytes end inside of it; `damaged` if they are not a record. */
async function readRecord(reader: ByteReader, input: FileInput): Promise<WarcRecord | "truncated" | "damaged" | undefined> {
  if (!(await skipLineEnds(reader))) return undefined;
  const version = await reader.line(maxLineBytes);
  if (version === undefined) return (await reader.peek(1)).length === 0 ? "truncated" : "damaged";
  if (!/^WARC\/\d+\.\d+\s*$/.test(version.toString("latin1"))) return "damaged";
  const lines: string[] = [];
  for (let bytes = 0; bytes < maxHeaderBytes; ) {
    const line = await reader.line(maxLineBytes);
    if (line === undefined) return (await reader.peek(1)).length === 0 ? "truncated" : "damaged";
    const text = line.toString("utf8").replace(/\r?\n$/, "");
    if (text === "") return readBlock(reader, headerFields(lines), input);
    lines.push(text);
    bytes += line.length;
  }
  return "damaged";
}

async function readBlock(reader: ByteReader, fields: HeaderFields, input: FileInput): Promise<WarcRecord | "truncated" | "damaged"> {
  const length = /^\d+$/.test(fields.get("content-length") ?? "") ? Number(fields.get("content-length")) : undefined;
  if (length === undefined) return "damaged";
  const isLarge = length > (input.maxDocumentBytes ?? defaultMaxDocumentBytes);
  const isWanted = !isLarge && isDocument(fields, input.file);
  const block = isWanted ? await reader.take(length) : undefined;
  if ((block?.length ?? (await reader.skip(length))) < length) return "truncated";
  const end = await reader.take(4);
  const hasEnd = end.toString("latin1") === lineEnds;
  // Fewer bytes are at the end of the file.
  if (!hasEnd && end.length === lineEnds.length) reader.putBack(end);
  return { fields, block, hasEnd };
}

/** Whether other bytes than line ends follow. They stay to be read. */
async function skipLineEnds(reader: ByteReader): Promise<boolean> {
  for (;;) {
    const chunk = await reader.next();
    if (chunk === undefined) return false;
    const at = chunk.findIndex((byte) => byte !== 0x0a && byte !== 0x0d);
    if (at < 0) continue;
    reader.putBack(chunk.subarray(at));
    return true;
  }
}
