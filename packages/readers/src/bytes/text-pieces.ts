import { formatOf } from "./file-format.js";
import type { Pieces } from "./unpacked.js";

/** Formats are recognized by this many bytes. */
const headBytes = 512;
const utf8Mark = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The bytes of a text as UTF-8 without its byte order mark. UTF-16 with a mark is converted. The bytes are not validated.
 * If the bytes are not text, the error is what they are.
 */
export async function* textPieces(pieces: Pieces): Pieces {
  const { head, tail } = await splitHead(pieces);
  const format = formatOf(head);
  switch (format.kind) {
    case "gzip":
    case "zstd":
      return "packed twice";
    case "other":
      return `not text: ${format.what}`;
    case "text":
      yield head.subarray(0, 3).equals(utf8Mark) ? head.subarray(3) : head;
      return yield* tail;
    case "utf-16le":
    case "utf-16be":
      return yield* converted(format.kind, head, tail);
  }
}

/** The first bytes, and the pieces after them. */
async function splitHead(pieces: Pieces): Promise<{ readonly head: Buffer; readonly tail: Pieces }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  let next = await pieces.next();
  while (next.done !== true && typeof next.value !== "string") {
    parts.push(next.value);
    bytes += next.value.length;
    if (bytes >= headBytes) return { head: Buffer.concat(parts), tail: pieces };
    next = await pieces.next();
  }
  return { head: Buffer.concat(parts), tail: continued(next, pieces) };
}

/** The pieces from a result on that was read already. */
async function* continued(first: Awaited<ReturnType<Pieces["next"]>>, pieces: Pieces): Pieces {
  if (first.done === true) return first.value;
  yield first.value;
  return yield* pieces;
}

async function* converted(encoding: string, head: Buffer, tail: Pieces): Pieces {
  let decoder = new TextDecoder(encoding);
  yield Buffer.from(decoder.decode(head, { stream: true }));
  for (;;) {
    const next = await tail.next();
    if (next.done === true) {
      const last = Buffer.from(decoder.decode());
      if (last.length > 0) yield last;
      return next.value;
    }
    if (typeof next.value === "string") decoder = new TextDecoder(encoding);
    yield typeof next.value === "string" ? next.value : Buffer.from(decoder.decode(next.value, { stream: true }));
  }
}
