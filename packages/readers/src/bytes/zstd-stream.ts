import { Decompress } from "fzstd";
import type { ByteReader } from "./byte-reader.js";
import type { MemberEnd, MemberEvent } from "./members.js";
import { XxHash64 } from "./xxhash64.js";
import { frameMagic, isSkippable, maxHeaderBytes, readFrameHeader } from "./zstd.js";

/** The window of a frame is kept in memory. `zstd` itself refuses larger ones without an option. */
const maxWindowBytes = 128 * 1024 * 1024;

/**
 * The frames of a zstd file (RFC 8878), block by block, with memory for the window of one frame. Checksums are compared,
 * which the decoder does not do.
 */
export async function* readZstd(bytes: ByteReader): AsyncGenerator<MemberEvent> {
  for (let isFirst = true; ; isFirst = false) {
    const head = await bytes.peek(8);
    if (head.length === 0) {
      if (isFirst) yield { end: "truncated" };
      return;
    }
    const magic = head.length < 4 ? undefined : head.readUInt32LE();
    if (magic !== undefined && isSkippable(magic)) {
      const size = head.length < 8 ? Number.POSITIVE_INFINITY : 8 + head.readUInt32LE(4);
      if ((await bytes.skip(size)) === size) continue;
      yield { end: "truncated" };
      return;
    }
    if (magic !== frameMagic) {
      yield { end: magic === undefined ? "truncated" : { damage: isFirst ? "not zstd" : "bytes after the last zstd frame" } };
      return;
    }
    const end = yield* readFrame(bytes);
    yield { end };
    if (end !== "whole" && end !== "checksum") return;
  }
}

async function* readFrame(bytes: ByteReader): AsyncGenerator<MemberEvent, MemberEnd> {
  const header = readFrameHeader(await bytes.peek(maxHeaderBytes), 0);
  if (header === undefined) return "truncated";
  if (header.hasDictionary) return { damage: "zstd with a dictionary" };
  if (header.windowBytes > maxWindowBytes) return { damage: "zstd with a window above 128 MiB" };
  const parts: Uint8Array[] = [];
  const hash = header.hasChecksum ? new XxHash64() : undefined;
  const decoder = new Decompress((part) => parts.push(part));
  try {
    decoder.push(await bytes.take(header.headerBytes), false);
    for (let isLast = false; !isLast; ) {
      const block = await takeBlock(bytes);
      if (block === undefined) return "truncated";
      isLast = block.isLast;
      const checksum = isLast && hash !== undefined ? await bytes.take(4) : Buffer.alloc(0);
      const isCut = isLast && hash !== undefined && checksum.length < 4;
      decoder.push(isCut ? block.bytes : Buffer.concat([block.bytes, checksum]), isLast && !isCut);
      for (const part of parts.splice(0)) {
        hash?.update(part);
        if (part.length > 0) yield { bytes: part };
      }
      if (isCut) return "truncated";
      if (isLast && hash !== undefined && hash.digest32() !== checksum.readUInt32LE()) return "checksum";
    }
    return "whole";
  } catch (error) {
    // The decoder gives its errors numbers. Other errors come from damage that it does not expect, such as a negative size.
    if (error instanceof RangeError || error instanceof TypeError || (error instanceof Error && "code" in error))
      return { damage: "damaged" };
    throw error;
  }
}

async function takeBlock(bytes: ByteReader): Promise<{ readonly bytes: Buffer; readonly isLast: boolean } | undefined> {
  const head = await bytes.peek(3);
  if (head.length < 3) return undefined;
  const value = head.readUIntLE(0, 3);
  // Raw bytes, one byte repeated, or compressed.
  const size = 3 + (((value >>> 1) & 3) === 1 ? 1 : value >>> 3);
  const block = await bytes.take(size);
  return block.length < size ? undefined : { bytes: block, isLast: (value & 1) !== 0 };
}
