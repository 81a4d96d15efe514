import type { JsonValue } from "@lapidary/std";
import { crc32 } from "./crc32.js";
import { frameError, limitError } from "./errors.js";

// A frame, all numbers little endian:
//
//   byte 0        4         5       6       8        12         16         20        24              32             36            40
//        ┌────────┬─────────┬───────┬───────┬────────┬──────────┬──────────┬─────────┬───────────────┬──────────────┬─────────────┐
//        │ magic  │ version │ kind  │ flags │ epoch  │ sequence │ header   │ header  │ payload       │ payload      │ prelude     │
//        │ "LPDY" │   u8    │  u8   │  u16  │  u32   │   u32    │ bytes u32│ CRC u32 │ bytes u64     │ CRC u32      │ CRC u32     │
//        └────────┴─────────┴───────┴───────┴────────┴──────────┴──────────┴─────────┴───────────────┴──────────────┴─────────────┘
//     40 ┌─────────────────────────┬──────────────────────────────────────┐
//        │ header: JSON in UTF-8   │ payload: bytes, not interpreted here │
//        └─────────────────────────┴──────────────────────────────────────┘
//
// The prelude CRC covers bytes 0 to 35. It is checked before any length of the prelude is used for an allocation. Flag bit 0
// is 1 if the payload CRC is set. The sequence counts the frames of one direction, from 0.

export const preludeBytes = 40;
const magic = 0x5944504c;
const version = 1;
const flagPayloadChecked = 1;

/** The kinds of frames; the number is the one on the wire. */
export const FrameKind = {
  /** First frame of either direction: the identity of the sender, and its epoch. */
  hello: 1,
  /** A message of the application. */
  message: 2,
  /** An empty frame: the sender is alive. */
  heartbeat: 3,
  /** Last frame of a side that closes cleanly. */
  bye: 4,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

const kinds: ReadonlySet<number> = new Set(Object.values(FrameKind));

/** The maximum sizes in one frame, checked before any allocation. */
export interface FrameLimits {
  readonly headerBytes: number;
  readonly payloadBytes: number;
}

export const defaultLimits: FrameLimits = { headerBytes: 4 * 2 ** 20, payloadBytes: 256 * 2 ** 20 };

/** The fields of a frame before its header and payload. */
export interface Prelude {
  readonly kind: FrameKind;
  readonly epoch: number;
  readonly sequence: number;
  readonly headerBytes: number;
  readonly headerChecksum: number;
  readonly payloadBytes: number;
  /** Absent when the sender does not check payloads. */
  readonly payloadChecksum: number | undefined;
}

export interface FrameFields {
  readonly kind: FrameKind;
  readonly epoch: number;
  readonly sequence: number;
  readonly header: JsonValue;
  readonly payload: readonly Uint8Array[];
  readonly checkPayload: boolean;
}

/** The prelude and header of a frame in one buffer. The payload is sent after it without a copy. */
export function encodeFrameHead(frame: FrameFields): Uint8Array {
  const json = JSON.stringify(frame.header);
  const headerBytes = Buffer.byteLength(json);
  const head = Buffer.allocUnsafe(preludeBytes + headerBytes);
  head.write(json, preludeBytes, "utf8");
  let payloadBytes = 0;
  for (const part of frame.payload) payloadBytes += part.byteLength;
  const checked = frame.checkPayload && payloadBytes > 0;
  let payloadChecksum = 0;
  if (checked) for (const part of frame.payload) payloadChecksum = crc32(part, payloadChecksum);
  // DataView instead of the methods of Buffer: frames are rare and small, so cold code costs more than the bytes.
  const view = new DataView(head.buffer, head.byteOffset, preludeBytes);
  view.setUint32(0, magic, true);
  view.setUint8(4, version);
  view.setUint8(5, frame.kind);
  view.setUint16(6, checked ? flagPayloadChecked : 0, true);
  view.setUint32(8, frame.epoch, true);
  view.setUint32(12, frame.sequence, true);
  view.setUint32(16, headerBytes, true);
  view.setUint32(20, crc32(new Uint8Array(head.buffer, head.byteOffset + preludeBytes, headerBytes)), true);
  view.setBigUint64(24, BigInt(payloadBytes), true);
  view.setUint32(32, payloadChecksum, true);
  view.setUint32(36, crc32(new Uint8Array(head.buffer, head.byteOffset, 36)), true);
  return head;
}

/**
 * Reads the 40 bytes at `at`.
 *
 * @throws LAP_FABRIC_FRAME if they are not a prelude, LAP_FABRIC_LIMIT if they declare more than `limits`
 */
export function decodePrelude(bytes: Uint8Array, at: number, limits: FrameLimits): Prelude {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, preludeBytes);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  if (u32(0) !== magic) throw frameError("not a frame of Lapidary: wrong magic number");
  if (u32(36) !== crc32(bytes.subarray(at, at + 36))) throw frameError("damaged frame: the checksum of the prelude differs");
  if (view.getUint8(4) !== version) throw frameError(`frame format version mismatch: peer ${view.getUint8(4)}, own ${version}`);
  const kind = view.getUint8(5);
  if (!isFrameKind(kind)) throw frameError(`unknown frame kind ${kind}`);
  const flags = view.getUint16(6, true);
  if ((flags & ~flagPayloadChecked) !== 0) throw frameError(`unknown frame flags ${flags}`);
  const headerBytes = u32(16);
  if (headerBytes > limits.headerBytes) throw limitError("header", headerBytes, limits.headerBytes);
  const payloadBytes = Number(view.getBigUint64(24, true));
  if (payloadBytes > limits.payloadBytes) throw limitError("payload", payloadBytes, limits.payloadBytes);
  return {
    kind,
    epoch: u32(8),
    sequence: u32(12),
    headerBytes,
    headerChecksum: u32(20),
    payloadBytes,
    payloadChecksum: (flags & flagPayloadChecked) === 0 ? undefined : u32(32),
  };
}

function isFrameKind(kind: number): kind is FrameKind {
  return kinds.has(kind);
}

/** @throws LAP_FABRIC_FRAME if the bytes are not the JSON that the prelude declared */
export function decodeHeader(bytes: Uint8Array, prelude: Prelude): JsonValue {
  if (crc32(bytes) !== prelude.headerChecksum) throw frameError("damaged frame: the checksum of the header differs");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as JsonValue;
  } catch (cause) {
    throw frameError(`invalid frame: its header is not JSON (${String(cause)})`);
  }
}
