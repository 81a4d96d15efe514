import { createReadStream } from "node:fs";
import { ByteReader } from "./byte-reader.js";
import { readGzip } from "./gzip.js";
import type { MemberEnd, MemberEvent } from "./members.js";
import { readZstd } from "./zstd-stream.js";

/**
 * Bytes of a file, or what follows them: `gap`, if bytes are missing here, because they cannot be trusted; `cut`, if the
 * file ends inside of the compressed member that has the bytes before it.
 */
export type Piece = Buffer | "gap" | "cut";

/** The pieces of a file in order. Returns the error of the file; undefined if it is whole. */
export type Pieces = AsyncGenerator<Piece, string | undefined>;

/** Bytes of a member that are kept until its checksum is known. A larger member is read twice. */
const maxHeldBytes = 32 * 1024 * 1024;

/**
 * The bytes of a file, uncompressed. Memory does not depend on the size of the file.
 *
 * A member whose checksum fails becomes a gap. A file that ends too early gives what can be read, and a gap at the end.
 *
 * @param range of a file that is not compressed; `end` is exclusive
 * @throws an error of the file system
 */
export async function* unpackedPieces(
  path: string,
  packing: "gzip" | "zstd" | "none",
  range?: { readonly start: number; readonly end: number },
): Pieces {
  if (packing === "none") {
    for await (const chunk of fileBytes(path, range)) yield chunk;
    return undefined;
  }
  const read = packing === "gzip" ? readGzip : readZstd;
  return yield* trustedPieces(() => read(new ByteReader(fileBytes(path))));
}

const fileBytes = (path: string, range?: { readonly start: number; readonly end: number }): AsyncIterable<Buffer> =>
  createReadStream(path, { highWaterMark: 256 * 1024, ...(range === undefined ? {} : { start: range.start, end: range.end - 1 }) });

/** @param open reads the members from the first on */
export async function* trustedPieces(open: () => AsyncIterable<MemberEvent>, limitBytes = maxHeldBytes): Pieces {
  const held: Uint8Array[] = [];
  let heldBytes = 0;
  let member = 0;
  let isEmpty = true;
  let bad: ReadonlySet<number> | undefined;
  let error: string | undefined;
  for await (const event of open()) {
    if ("bytes" in event) {
      isEmpty = false;
      if (bad?.has(member)) continue;
      held.push(event.bytes);
      heldBytes += event.bytes.length;
      if (heldBytes > limitBytes && bad === undefined) bad = await badMembers(open());
      if (bad?.has(member)) held.length = 0;
      if (bad === undefined) continue;
    } else {
      if (isBad(event.end)) held.length = 0;
      if (event.end !== "whole") error ??= typeof event.end === "string" ? event.end : event.end.damage;
    }
    for (const bytes of held) yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    held.length = 0;
    heldBytes = 0;
    if ("bytes" in event) continue;
    member++;
    if (event.end !== "whole") yield event.end === "truncated" && !isEmpty ? "cut" : "gap";
    isEmpty = true;
  }
  return error;
}

const isBad = (end: MemberEnd): boolean => end !== "whole" && end !== "truncated";

async function badMembers(members: AsyncIterable<MemberEvent>): Promise<ReadonlySet<number>> {
  const bad = new Set<number>();
  let member = 0;
  for await (const event of members)
    if ("end" in event && isBad(event.end)) bad.add(member++);
    else if ("end" in event) member++;
  return bad;
}
