import { deepStrictEqual, ok } from "node:assert/strict";
import { type JsonValue, LapidaryError, seededRandom } from "@lapidary/std";
import { type Door, hostileBytes } from "@lapidary/std/testing";
import fc from "fast-check";
import { type BufferPool, fresh } from "../buffer-pool.js";
import { WireChannel } from "../channel.js";
import { crc32 } from "../crc32.js";
import { encodeFrameHead, FrameKind, type FrameLimits, preludeBytes } from "../frame.js";
import type { Wire } from "../wire.js";
import { pattern } from "./inbox.js";

const limits: FrameLimits = { headerBytes: 200_000, payloadBytes: 1_000_000 };

/** A pool that tells how much it was asked for. */
export function countingPool(): BufferPool & { readonly taken: number } {
  let taken = 0;
  return {
    take(bytes) {
      taken += bytes;
      return fresh(bytes);
    },
    give: () => undefined,
    get taken() {
      return taken;
    },
  };
}

const frame = (kind: FrameKind, sequence: number, header: JsonValue, payload: Uint8Array = new Uint8Array()): Uint8Array =>
  Buffer.concat([encodeFrameHead({ kind, epoch: 1, sequence, header, payload: [payload], checkPayload: true }), payload]);

/** A hello, messages 1, 2, …, a goodbye. */
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

/** A prelude whose checksum is right and whose fields are anything. */
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
  readonly greets: boolean;
  readonly isForged: boolean;
  readonly bytes: Uint8Array;
  readonly cuts: number;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    greets: fc.boolean(),
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
  .map(({ greets, what, cuts }) => ({ greets, cuts, ...what }));

/** Whatever comes through a socket: the channel closes with an error of ours, delivers nothing that was changed, allocates no more than it may. */
async function meet({ greets, isForged, bytes, cuts }: Case): Promise<void> {
  const pool = countingPool();
  const channel = new WireChannel("hostile", { epoch: 1, limits, pool });
  const heard: [JsonValue, Uint8Array][] = [];
  channel.attach(deafWire);
  channel.onMessage((header, payload) => heard.push([header, payload]));
  if (greets) channel.feed(frame(FrameKind.hello, 0, null));
  const random = seededRandom(cuts);
  for (let from = 0; from < bytes.length; ) {
    const count = 1 + random.integer(random.integer(4) === 0 ? bytes.length : 100);
    channel.feed(bytes.subarray(from, from + count));
    from += count;
  }
  const { isOpen } = channel;
  channel.ended();
  const reason = await channel.closed;
  ok(reason.kind === "there" || (reason.kind === "lost" && reason.error instanceof LapidaryError), "it closes for a reason that is told");
  ok(!isOpen || reason.kind === "lost", "a stream that ends without a goodbye is lost");
  // What was right, and one frame that says it will be as large as it may.
  ok(pool.taken <= bytes.length + limits.headerBytes + limits.payloadBytes, `${pool.taken} bytes were allocated`);
  if (isForged) return;
  heard.forEach(([header, payload], i) => {
    deepStrictEqual(header, i + 1);
    ok(Buffer.from(payload).equals(pattern(payload.length, payload.length + 1)), "what is delivered is what was sent");
  });
}

const deafWire: Wire = {
  write: (_, flushed) => flushed(),
  end: () => undefined,
  destroy: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

export const frameDoor: Door = { name: "frames", property: fc.asyncProperty(cases, meet) as fc.IRawProperty<unknown> };
