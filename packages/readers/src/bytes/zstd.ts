import { randomBytes } from "node:crypto";
import { decompress } from "fzstd";
import { XxHash64 } from "./xxhash64.js";

/** A frame of zstd: from its magic number to its checksum (RFC 8878). */
interface Frame {
  readonly start: number;
  readonly end: number;
  /** Offset of the header of the last block. */
  readonly lastBlock: number;
  /** Offset of the end of the last block. */
  readonly blocksEnd: number;
  readonly hasWindow: boolean;
  readonly hasChecksum: boolean;
  readonly hasDictionary: boolean;
  /** Size of the text in the header. */
  readonly textBytes: number | undefined;
  /** Maximum size of the text of all blocks. */
  readonly maxBytes: number;
}

/** The file needs the dictionary of its compression. */
export class ZstdDictionaryError extends Error {
  override readonly name = "ZstdDictionaryError";
}

/** The decompressed bytes exceed the limit. */
export class ZstdSizeError extends Error {
  override readonly name = "ZstdSizeError";
}

export const frameMagic = 0xfd2fb528;
/** Frames without data have one of sixteen magic numbers. */
export const isSkippable = (magic: number): boolean => magic >>> 4 === 0x184d2a5;

/** Maximum size of the text of a compressed block. */
const blockBytes = 1 << 17;

/** Whether a file starts as a zstd file. A file of pzstd starts with a skippable frame. */
export function isZstd(head: Uint8Array): boolean {
  const bytes = asBuffer(head);
  if (bytes.length < 4) return false;
  if (bytes.readUInt32LE(0) === frameMagic) return true;
  if (bytes.length < 8 || !isSkippable(bytes.readUInt32LE(0))) return false;
  const next = 8 + bytes.readUInt32LE(4);
  return next + 4 <= bytes.length && bytes.readUInt32LE(next) === frameMagic;
}

/**
 * Decompresses all frames of a zstd file, in every version of Node. Decompresses at most `limitBytes` and one block, so a small file cannot fill
 * the memory. Checks sizes and checksums.
 *
 * @throws ZstdSizeError, ZstdDictionaryError, or an Error that describes the damage
 */
export function unpackZstd(packed: Uint8Array, limitBytes: number): Buffer {
  const raw = asBuffer(packed);
  const parts: Buffer[] = [];
  let bytes = 0;
  for (const frame of framesOf(raw)) {
    if (frame.hasDictionary) throw new ZstdDictionaryError("the frame needs a dictionary");
    const part = unpackFrame(raw, frame, limitBytes - bytes);
    bytes += part.length;
    parts.push(part);
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}

/**
 * The decoder writes into a given buffer and does not return the length. So the frame gets one more block with a marker that text does not contain.
 * The streaming decoder would move its whole window after each block, which lasts minutes for a window of 128 MiB.
 */
function unpackFrame(raw: Buffer, frame: Frame, limitBytes: number): Buffer {
  const { textBytes, maxBytes } = frame;
  const tooLarge = new ZstdSizeError(`the text has more than ${limitBytes} bytes`);
  if (textBytes !== undefined && textBytes > limitBytes) throw tooLarge;
  const marker = randomBytes(24);
  const output = Buffer.alloc(Math.min(textBytes ?? maxBytes, limitBytes + blockBytes) + marker.length);
  let length = -1;
  try {
    decompress(withMarkerBlock(raw, frame, marker), output);
    length = output.lastIndexOf(marker);
  } catch (cause) {
    // The text does not fit into the buffer, or the frame is damaged.
    if (textBytes !== undefined || maxBytes <= limitBytes) throw cause;
  }
  if (length > limitBytes || (length < 0 && textBytes === undefined && maxBytes > limitBytes)) throw tooLarge;
  if (length < 0 || (textBytes !== undefined && length !== textBytes)) throw new Error("the size of the text differs from the header");
  const text = output.subarray(0, length);
  if (!frame.hasChecksum) return text;
  const hash = new XxHash64();
  hash.update(text);
  if (hash.digest32() !== raw.readUInt32LE(frame.end - 4)) throw new Error("a checksum does not match");
  return text;
}

/** A copy of the frame with one more block that contains `marker`. */
function withMarkerBlock(raw: Buffer, { start, lastBlock, blocksEnd, hasWindow, hasChecksum }: Frame, marker: Buffer): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((marker.length << 3) | 1, 0, 3);
  const copy = Buffer.concat([raw.subarray(start, blocksEnd), header, marker, Buffer.alloc(hasChecksum ? 4 : 0)]);
  copy[lastBlock - start] = (copy[lastBlock - start] ?? 0) & 0xfe;
  // The window is always 128 MiB, because the decoder rejects 2 GiB. It reads earlier text from the buffer, which has all of it.
  if (hasWindow) copy[5] = 17 << 3;
  return copy;
}

/** The frames with data, found by the sizes of their blocks. */
function* framesOf(raw: Buffer): Generator<Frame> {
  for (let at = 0; at < raw.length; ) {
    const magic = bytesAt(raw, at, 4).readUInt32LE();
    if (isSkippable(magic)) {
      at += 8 + bytesAt(raw, at + 4, 4).readUInt32LE();
      if (at > raw.length) throw new Error("the file is truncated");
    } else if (magic === frameMagic) {
      const frame = frameAt(raw, at);
      yield frame;
      at = frame.end;
    } else throw new Error(`the bytes at offset ${at} are not the start of a frame`);
  }
}

function frameAt(raw: Buffer, start: number): Frame {
  const header = readFrameHeader(raw, start);
  if (header === undefined) throw new Error("the file is truncated");
  const { hasWindow, hasChecksum, hasDictionary, textBytes } = header;
  let [at, lastBlock, maxBytes] = [start + header.headerBytes, start, 0];
  for (let isLast = false; !isLast; ) {
    const header = bytesAt(raw, at, 3).readUIntLE(0, 3);
    const [kind, size] = [(header >>> 1) & 3, header >>> 3];
    isLast = (header & 1) !== 0;
    lastBlock = at;
    // Raw bytes, one byte repeated, or compressed.
    at += 3 + (kind === 1 ? 1 : size);
    maxBytes += kind < 2 ? size : blockBytes;
  }
  const end = at + (hasChecksum ? 4 : 0);
  if (end > raw.length) throw new Error("the file is truncated");
  return { start, end, lastBlock, blocksEnd: at, hasWindow, hasChecksum, hasDictionary, textBytes, maxBytes };
}

interface FrameHeader {
  readonly headerBytes: number;
  readonly hasWindow: boolean;
  readonly hasChecksum: boolean;
  readonly hasDictionary: boolean;
  /** Memory that a decoder needs to look back. */
  readonly windowBytes: number;
  /** Undefined if the header does not say it. */
  readonly textBytes: number | undefined;
}

/** Maximum size of the header of a frame. */
export const maxHeaderBytes = 18;

/** The header of the frame at `start`; undefined if the bytes end inside of it. */
export function readFrameHeader(raw: Buffer, start: number): FrameHeader | undefined {
  const descriptor = raw[start + 4];
  if (descriptor === undefined) return undefined;
  const hasWindow = (descriptor & 0x20) === 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const flag = descriptor >>> 6;
  const sizeBytes = flag === 0 && hasWindow ? 0 : 1 << flag;
  const sizeAt = start + 5 + (hasWindow ? 1 : 0) + dictionaryBytes;
  if (sizeAt + sizeBytes > raw.length) return undefined;
  const textBytes = textSize(raw, sizeAt, sizeBytes);
  const window = raw[start + 5] ?? 0;
  return {
    headerBytes: sizeAt + sizeBytes - start,
    hasWindow,
    hasChecksum: (descriptor & 0x04) !== 0,
    hasDictionary: dictionaryBytes > 0,
    windowBytes: hasWindow ? 2 ** (10 + (window >>> 3)) * (1 + (window & 7) / 8) : (textBytes ?? 0),
    textBytes,
  };
}

/** The size of the text in the header: a field of 0, 1, 2, 4 or 8 bytes. */
function textSize(raw: Buffer, at: number, sizeBytes: number): number | undefined {
  if (sizeBytes === 0) return undefined;
  if (sizeBytes === 8) return Number(raw.readBigUInt64LE(at));
  return raw.readUIntLE(at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
}

function bytesAt(raw: Buffer, at: number, bytes: number): Buffer {
  if (at + bytes > raw.length) throw new Error("the file is truncated");
  return raw.subarray(at, at + bytes);
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
