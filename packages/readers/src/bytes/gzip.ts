import { constants, crc32, createInflateRaw } from "node:zlib";
import type { ByteReader } from "./byte-reader.js";
import type { MemberEvent } from "./members.js";

const magic = Buffer.from([0x1f, 0x8b]);
const headerBytes = 10;
const trailerBytes = 8;
/** Names and comments of members are short. */
const maxNameBytes = 1 << 16;

/**
 * The members of a gzip file (RFC 1952), each with its checksum and size compared. Node's own decompressor says nothing
 * about where a member ends. Zeros after the last member are padding.
 */
export async function* readGzip(bytes: ByteReader): AsyncGenerator<MemberEvent> {
  for (let isFirst = true; ; isFirst = false) {
    if (!isFirst && !(await skipZeros(bytes))) return;
    const header = await readHeader(bytes);
    if (header !== "whole") {
      yield { end: header === "other" ? { damage: isFirst ? "not gzip" : "bytes after the last gzip member" } : header };
      return;
    }
    const member = { checksum: 0, bytes: 0, isDamaged: false };
    for await (const part of inflate(bytes, member)) {
      member.checksum = crc32(part, member.checksum);
      member.bytes += part.length;
      yield { bytes: part };
    }
    if (member.isDamaged) {
      yield { end: { damage: "damaged" } };
      return;
    }
    const trailer = await bytes.take(trailerBytes);
    if (trailer.length < trailerBytes) {
      yield { end: "truncated" };
      return;
    }
    const isRight = trailer.readUInt32LE(0) === member.checksum && trailer.readUInt32LE(4) === member.bytes % 2 ** 32;
    yield { end: isRight ? "whole" : "checksum" };
  }
}

async function readHeader(bytes: ByteReader): Promise<"whole" | "truncated" | "other"> {
  const header = await bytes.take(headerBytes);
  if (!header.subarray(0, 2).equals(magic.subarray(0, header.length)) || (header[2] ?? 8) !== 8) return "other";
  if (header.length < headerBytes) return "truncated";
  const flags = header[3] ?? 0;
  if ((flags & 0x04) !== 0) {
    const size = await bytes.take(2);
    if (size.length < 2 || (await bytes.skip(size.readUInt16LE())) < size.readUInt16LE()) return "truncated";
  }
  for (const flag of [0x08, 0x10]) if ((flags & flag) !== 0 && !(await skipName(bytes))) return "truncated";
  return (flags & 0x02) !== 0 && (await bytes.skip(2)) < 2 ? "truncated" : "whole";
}

/** A name or a comment ends with a zero. */
async function skipName(bytes: ByteReader): Promise<boolean> {
  for (let read = 0; read < maxNameBytes; ) {
    const chunk = await bytes.next();
    if (chunk === undefined) return false;
    const end = chunk.indexOf(0);
    if (end >= 0) {
      bytes.putBack(chunk.subarray(end + 1));
      return true;
    }
    read += chunk.length;
  }
  return false;
}

/** Whether other bytes than zeros follow. They stay to be read. */
async function skipZeros(bytes: ByteReader): Promise<boolean> {
  for (;;) {
    const chunk = await bytes.next();
    if (chunk === undefined) return false;
    const at = chunk.findIndex((byte) => byte !== 0);
    if (at < 0) continue;
    bytes.putBack(chunk.subarray(at));
    return true;
  }
}

/** The bytes of one member. What follows the member stays to be read. */
async function* inflate(bytes: ByteReader, member: { isDamaged: boolean }): AsyncGenerator<Buffer> {
  // With this flush, a file that ends early gives the bytes up to its end, and no error.
  const stream = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH, chunkSize: 64 * 1024 });
  const ended = new Promise<false>((resolve) => {
    stream.once("end", () => resolve(false)).once("close", () => resolve(false));
  });
  let fedBytes = 0;
  let last: Buffer = Buffer.alloc(0);
  const feed = async (): Promise<void> => {
    for (;;) {
      const chunk = await bytes.next();
      if (chunk === undefined) {
        stream.end();
        return;
      }
      last = chunk;
      fedBytes += chunk.length;
      // After the end of the member, the decompressor does not call back.
      const written = new Promise<true>((resolve) => stream.write(chunk, () => resolve(true)));
      if (!(await Promise.race([written, ended]))) return;
    }
  };
  const feeding = feed();
  try {
    for await (const part of stream) yield part as Buffer;
  } catch (error) {
    if (!isZlibError(error)) throw error;
    member.isDamaged = true;
  } finally {
    stream.destroy();
    await feeding;
  }
  bytes.putBack(last.subarray(last.length - (fedBytes - stream.bytesWritten)));
}

const isZlibError = (error: unknown): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_");
