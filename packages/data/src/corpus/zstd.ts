import { randomBytes } from "node:crypto";
import { decompress } from "fzstd";
import { XxHash64 } from "./xxhash64.js";

/** A frame of zstd: from its magic number to its checksum (RFC 8878). */
interface Frame {
  readonly start: number;
  readonly end: number;
  /** Where the header of the last block is. */
  readonly lastBlock: number;
  /** Where the last block ends. */
  readonly blocksEnd: number;
  readonly hasWindow: boolean;
  readonly hasChecksum: boolean;
  readonly hasDictionary: boolean;
  /** Of the text, as its header says. */
  readonly textBytes: number | undefined;
  /** Its blocks cannot hold more text. */
  readonly mostBytes: number;
}

/** A file that needs the dictionary it was packed with. */
export class ZstdDictionaryError extends Error {
  override readonly name = "ZstdDictionaryError";
}

/** The unpacked bytes are more than the limit. */
export class ZstdSizeError extends Error {
  override readonly name = "ZstdSizeError";
}

const frameMagic = 0xfd2fb528;
/** Sixteen magic numbers mark frames that hold no data. */
const isSkippable = (magic: number): boolean => magic >>> 4 === 0x184d2a5;

/** A compressed block holds at most so much text. */
const blockBytes = 1 << 17;

/** Whether the first bytes are of a zstd file; a file of pzstd starts with a frame to skip. */
export function isZstd(head: Uint8Array): boolean {
  const bytes = asBuffer(head);
  if (bytes.length < 4) return false;
  if (bytes.readUInt32LE(0) === frameMagic) return true;
  if (bytes.length < 8 || !isSkippable(bytes.readUInt32LE(0))) return false;
  const next = 8 + bytes.readUInt32LE(4);
  return next + 4 <= bytes.length && bytes.readUInt32LE(next) === frameMagic;
}

/**
 * Unpacks all frames of a zstd file, whatever the version of Node. No more than `limitBytes` and a block are unpacked, so a small file cannot fill
 * the memory. Sizes and checksums are compared.
 *
 * @throws ZstdSizeError, ZstdDictionaryError, or an Error that says what is damaged
 */
export function unpackZstd(packed: Uint8Array, limitBytes: number): Buffer {
  const raw = asBuffer(packed);
  const parts: Buffer[] = [];
  let bytes = 0;
  for (const frame of framesOf(raw)) {
    if (frame.hasDictionary) throw new ZstdDictionaryError("it was packed with a dictionary");
    const part = unpackFrame(raw, frame, limitBytes - bytes);
    bytes += part.length;
    parts.push(part);
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}

/**
 * The decoder writes into a buffer of ours and does not say how far. So the frame gets one block more: a mark that no text holds, at the end of
 * the text. The decoder's own stream would shift its whole window after each block, which takes minutes for a window of 128 MiB.
 */
function unpackFrame(raw: Buffer, frame: Frame, limitBytes: number): Buffer {
  const { textBytes, mostBytes } = frame;
  const tooLarge = new ZstdSizeError(`it holds more than ${limitBytes} bytes`);
  if (textBytes !== undefined && textBytes > limitBytes) throw tooLarge;
  const mark = randomBytes(24);
  const room = Buffer.alloc(Math.min(textBytes ?? mostBytes, limitBytes + blockBytes) + mark.length);
  let length = -1;
  try {
    decompress(withMark(raw, frame, mark), room);
    length = room.lastIndexOf(mark);
  } catch (cause) {
    // The text does not fit into the buffer, or the frame is damaged.
    if (textBytes !== undefined || mostBytes <= limitBytes) throw cause;
  }
  if (length > limitBytes || (length < 0 && textBytes === undefined && mostBytes > limitBytes)) throw tooLarge;
  if (length < 0 || (textBytes !== undefined && length !== textBytes)) throw new Error("its text has another size than its header says");
  const text = room.subarray(0, length);
  if (!frame.hasChecksum) return text;
  const hash = new XxHash64();
  hash.update(text);
  if (hash.digest32() !== raw.readUInt32LE(frame.end - 4)) throw new Error("a checksum does not match");
  return text;
}

/** A copy of the frame with one block of `mark` after its last one. */
function withMark(raw: Buffer, { start, lastBlock, blocksEnd, hasWindow, hasChecksum }: Frame, mark: Buffer): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((mark.length << 3) | 1, 0, 3);
  const copy = Buffer.concat([raw.subarray(start, blocksEnd), header, mark, Buffer.alloc(hasChecksum ? 4 : 0)]);
  copy[lastBlock - start] = (copy[lastBlock - start] ?? 0) & 0xfe;
  // A window of 128 MiB, whatever it was: the decoder refuses 2 GiB, and looks back into the buffer, which is all of the text.
  if (hasWindow) copy[5] = 17 << 3;
  return copy;
}

/** The frames that hold data, found by the sizes of their blocks. */
function* framesOf(raw: Buffer): Generator<Frame> {
  for (let at = 0; at < raw.length; ) {
    const magic = atOrCut(raw, at, 4).readUInt32LE();
    if (isSkippable(magic)) {
      at += 8 + atOrCut(raw, at + 4, 4).readUInt32LE();
      if (at > raw.length) throw new Error("it was cut off");
    } else if (magic === frameMagic) {
      const frame = frameAt(raw, at);
      yield frame;
      at = frame.end;
    } else throw new Error(`the bytes at offset ${at} start no frame`);
  }
}

function frameAt(raw: Buffer, start: number): Frame {
  const [descriptor = 0] = atOrCut(raw, start + 4, 1);
  const hasWindow = (descriptor & 0x20) === 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeAt = start + 5 + (hasWindow ? 1 : 0) + dictionaryBytes;
  const { textBytes, sizeBytes } = textSize(raw, sizeAt, descriptor >>> 6, hasWindow);
  let [at, lastBlock, mostBytes] = [sizeAt + sizeBytes, start, 0];
  for (let isLast = false; !isLast; ) {
    const header = atOrCut(raw, at, 3).readUIntLE(0, 3);
    const [kind, size] = [(header >>> 1) & 3, header >>> 3];
    isLast = (header & 1) !== 0;
    lastBlock = at;
    // Raw bytes, one byte repeated, or compressed.
    at += 3 + (kind === 1 ? 1 : size);
    mostBytes += kind < 2 ? size : blockBytes;
  }
  const end = at + (hasChecksum ? 4 : 0);
  if (end > raw.length) throw new Error("it was cut off");
  return { start, end, lastBlock, blocksEnd: at, hasWindow, hasChecksum, hasDictionary: dictionaryBytes > 0, textBytes, mostBytes };
}

/** What the header says of the size of the text: in none, 1, 2, 4 or 8 bytes. */
function textSize(
  raw: Buffer,
  at: number,
  flag: number,
  hasWindow: boolean,
): { readonly textBytes: number | undefined; readonly sizeBytes: number } {
  if (flag === 0 && hasWindow) return { textBytes: undefined, sizeBytes: 0 };
  const sizeBytes = 1 << flag;
  const field = atOrCut(raw, at, sizeBytes);
  const textBytes = sizeBytes === 8 ? Number(field.readBigUInt64LE()) : field.readUIntLE(0, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  return { textBytes, sizeBytes };
}

function atOrCut(raw: Buffer, at: number, bytes: number): Buffer {
  if (at + bytes > raw.length) throw new Error("it was cut off");
  return raw.subarray(at, at + bytes);
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
