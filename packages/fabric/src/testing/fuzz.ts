import { deepStrictEqual, ok } from "node:assert/strict";
import { type JsonValue, LapidaryError, seededRandom } from "@lapidary/std";
import { type FuzzTarget, hostileBytes } from "@lapidary/std/testing";
import fc from "fast-check";
import { type BufferPool, fresh } from "../buffer-pool.js";
import { WireChannel } from "../channel.js";
import { crc32 } from "../crc32.js";
import { encodeFrameHead, FrameKind, type FrameLimits, preludeBytes } from "../frame.js";
import type { Wire } from "../wire.js";
import { pattern } from "./inbox.js";

const limits: FrameLimits = { headerBytes: 200_000, payloadBytes: 1_000_000 };

/** A pool that counts the requested bytes. */
export function countingPool(): BufferPool & { readonly requestedBytes: number } {
  let requestedBytes = 0;
  return {
    acquire(bytes) {
      requestedBytes += bytes;
      return fresh(bytes);
    },
    release: () => undefined,
    get requestedBytes() {
      return requestedBytes;
    },
  };
}

const frame = (kind: FrameKind, sequence: number, header: JsonValue, payload: Uint8Array = new Uint8Array()): Uint8Array =>
  Buffer.concat([encodeFrameHead({ kind, epoch: 1, sequence, header, payload: [payload], checkPayload: true }), payload]);

/** Frames of a valid stream: a hello, messages 1, 2, …, a goodbye. */
const streams = fc
  .array(
    fc.oneof({ weight: 9, arbitrary: fc.nat(300) }, { weight: 1, arbitrary: fc.nat(100_000) }).map((size) => pattern(size, size + 1)),
    { minLength: 1, maxLength: 4 },
  )
  .map((payloads) => [
    frame(FrameKind.hello, 0, null),
    ...payloads.map((payload, i) => frame(FrameKind.message, i + 1, i + 1, payload)),
    frame(FrameKind.bye, payloads.length + 1, null),
  ]);

/** A prelude with a correct checksum and arbitrary fields. */
const forged = fc
  .record({
    kind: fc.nat(255),
    flags: fc.nat(3),
    epoch: fc.constantFrom(0, 1, 2 ** 32 - 1),
    sequence: fc.constantFrom(0, 1, 2, 2 ** 32 - 1),
    headerBytes: fc.oneof(fc.nat(64), fc.nat(2 ** 32 - 1)),
    payloadBytes: fc.oneof(fc.bigInt(0n, 64n), fc.bigInt(0n, 2n ** 64n - 1n)),
    rest: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ kind, flags, epoch, sequence, headerBytes, payloadBytes, rest }) => {
    const head = Buffer.from(frame(FrameKind.message, 0, 1)).subarray(0, preludeBytes);
    head.writeUInt8(kind, 5);
    head.writeUInt16LE(flags, 6);
    head.writeUInt32LE(epoch, 8);
    head.writeUInt32LE(sequence, 12);
    head.writeUInt32LE(headerBytes, 16);
    head.writeBigUInt64LE(payloadBytes, 24);
    head.writeUInt32LE(crc32(rest.subarray(0, headerBytes)), 20);
    head.writeUInt32LE(crc32(head.subarray(0, 36)), 36);
    return Buffer.concat([head, rest]);
  });

interface Case {
  readonly sendsHello: boolean;
  readonly isForged: boolean;
  readonly bytes: Uint8Array;
  readonly cuts: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    sendsHello: fc.boolean(),
    what: fc.oneof(
      { weight: 2, arbitrary: hostileBytes(streams.map((frames) => Buffer.concat(frames))).map((bytes) => ({ bytes, isForged: false })) },
      { weight: 1, arbitrary: forged.map((bytes) => ({ bytes, isForged: true })) },
      {
        weight: 1,
        arbitrary: fc.tuple(streams, fc.nat(), fc.nat()).map(([frames, from, to]) => {
          const moved = [...frames];
          const [one] = moved.splice(from % frames.length, 1);
          if (one !== undefined) moved.splice(to % frames.length, 0, one);
          return { bytes: Buffer.concat(moved), isForged: false };
        }),
      },
    ),
    cuts: fc.nat(),
  })
  .map(({ sendsHello: sendsHello, what, cuts }) => ({ sendsHello: sendsHello, cuts, ...what }));

/** For any received bytes, the channel closes with a LapidaryError, delivers no changed message, and allocates no more than its limits. */
async function checkCase({ sendsHello: sendsHello, isForged, bytes, cuts }: Case): Promise<void> {
  const pool = countingPool();
  const channel = new WireChannel("hostile", { epoch: 1, limits, pool });
  const delivered: [JsonValue, Uint8Array][] = [];
  channel.attach(discardingWire);
  channel.onMessage((header, payload) => delivered.push([header, payload]));
  if (sendsHello) channel.feed(frame(FrameKind.hello, 0, null));
  const random = seededRandom(cuts);
  for (let from = 0; from < bytes.length; ) {
    const count = 1 + random.integer(random.integer(4) === 0 ? bytes.length : 100);
    channel.feed(bytes.subarray(from, from + count));
    from += count;
  }
  const { isOpen } = channel;
  channel.ended();
  const reason = await channel.closed;
  ok(reason.kind === "closed" || (reason.kind === "lost" && reason.error instanceof LapidaryError), "the channel closes with a reason");
  ok(!isOpen || reason.kind === "lost", "a stream without a goodbye ends as lost");
  // The valid frames, and one frame that declares the maximum size.
  ok(pool.requestedBytes <= bytes.length + limits.headerBytes + limits.payloadBytes, `${pool.requestedBytes} bytes were allocated`);
  if (isForged) return;
  delivered.forEach(([header, payload], i) => {
    deepStrictEqual(header, i + 1);
    ok(Buffer.from(payload).equals(pattern(payload.length, payload.length + 1)), "a delivered payload is the payload that was sent");
  });
}

const discardingWire: Wire = {
  write: (_, flushed) => flushed(),
  end: () => undefined,
  destroy: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

export const frameFuzzTarget: FuzzTarget = { name: "frames", property: fc.asyncProperty(cases, checkCase) as fc.IRawProperty<unknown> };
