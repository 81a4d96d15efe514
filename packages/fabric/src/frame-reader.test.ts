import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { type JsonValue, LapidaryError, seededRandom } from "@lapidary/std";
import fc from "fast-check";
import { type BufferPool, bufferPool } from "./buffer-pool.js";
import { crc32, crc32ByTable } from "./crc32.js";
import { encodeFrameHead, FrameKind, preludeBytes } from "./frame.js";
import { type Frame, FrameReader } from "./frame-reader.js";
import { countingPool, frameFuzzTarget } from "./testing/fuzz.js";
import { pattern } from "./testing/inbox.js";

const limits = { headerBytes: 200_000, payloadBytes: 1_000_000 };

interface Sent {
  readonly header: JsonValue;
  readonly payload: Uint8Array;
}

function encode(messages: readonly Sent[], checkPayload = true): Uint8Array {
  return Buffer.concat(
    messages.flatMap(({ header, payload }, sequence) => [
      encodeFrameHead({ kind: FrameKind.message, epoch: 1, sequence, header, payload: [payload], checkPayload }),
      payload,
    ]),
  );
}

/** Feeds `bytes` in chunks of random size; returns the frames, and the error if there was one. */
function read(bytes: Uint8Array, seed: number, pool: BufferPool = bufferPool()): { frames: Frame[]; error: unknown; whole: boolean } {
  const random = seededRandom(seed);
  const frames: Frame[] = [];
  const reader = new FrameReader(pool, limits, (frame) => frames.push(frame));
  try {
    for (let at = 0; at < bytes.byteLength; ) {
      // Mostly small pieces, sometimes all bytes.
      const count = 1 + random.integer(random.integer(4) === 0 ? bytes.byteLength : 100);
      reader.feed(bytes.subarray(at, at + count));
      at += count;
    }
    return { frames, error: undefined, whole: reader.betweenFrames };
  } catch (error) {
    return { frames, error, whole: false };
  }
}

const messages: fc.Arbitrary<Sent[]> = fc.array(
  fc.record({
    header: fc.oneof(
      fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>,
      fc.nat(120_000).map((length) => "h".repeat(length)),
    ),
    payload: fc.oneof(fc.nat(300), fc.nat(200_000)).map((size) => pattern(size, size + 1)),
  }),
  { minLength: 1, maxLength: 5 },
);
const seeds = fc.nat();

function checkPrefix(frames: readonly Frame[], sent: readonly Sent[]): void {
  ok(frames.length <= sent.length);
  frames.forEach((frame, i) => {
    deepStrictEqual(frame.header, JSON.parse(JSON.stringify(sent[i]?.header)));
    ok(Buffer.from(frame.payload).equals(sent[i]?.payload ?? new Uint8Array()));
    strictEqual(frame.payload.byteOffset, 0);
  });
}

describe("frame reader", () => {
  it("the frame reader returns the sent frames for any cuts of the stream", () => {
    fc.assert(
      fc.property(messages, seeds, fc.boolean(), (sent, seed, checked) => {
        const { frames, error, whole } = read(encode(sent, checked), seed);
        strictEqual(error, undefined);
        strictEqual(frames.length, sent.length);
        ok(whole);
        checkPrefix(frames, sent);
      }),
      { numRuns: 150 },
    );
  });

  it("one flipped bit anywhere is an error, and only the frames before it are delivered", () => {
    fc.assert(
      fc.property(messages, seeds, fc.nat(), (sent, seed, where) => {
        const bytes = encode(sent);
        const bit = where % (bytes.byteLength * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        const { frames, error } = read(bytes, seed);
        ok(error instanceof LapidaryError, String(error));
        ok(frames.length < sent.length);
        checkPrefix(frames, sent);
      }),
      { numRuns: 300 },
    );
  });

  it("betweenFrames is true exactly at the end of a frame", () => {
    fc.assert(
      fc.property(messages, seeds, fc.nat(), (sent, seed, cut) => {
        const bytes = encode(sent);
        const { frames, error, whole } = read(bytes.subarray(0, 1 + (cut % (bytes.byteLength - 1))), seed);
        strictEqual(error, undefined);
        checkPrefix(frames, sent);
        const ends = sent.map((_, i) => encode(sent.slice(0, i + 1)).byteLength);
        strictEqual(whole, ends.includes(1 + (cut % (bytes.byteLength - 1))));
      }),
      { numRuns: 100 },
    );
  });

  it("random bytes are LAP_FABRIC_FRAME, and no buffer is allocated for them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: preludeBytes, maxLength: 2000 }), seeds, (bytes, seed) => {
        const pool = countingPool();
        const { frames, error } = read(bytes, seed, pool);
        ok(error instanceof LapidaryError && error.code === "LAP_FABRIC_FRAME");
        strictEqual(frames.length, 0);
        strictEqual(pool.requestedBytes, 0);
      }),
      { numRuns: 500 },
    );
  });

  it("hostile streams, before and after a hello, close the channel, and no changed message is delivered", () =>
    fc.assert(frameFuzzTarget.property, { numRuns: 500 }));

  it("a header that is not JSON or not UTF-8 is rejected", () => {
    for (const text of [Buffer.from("{"), Buffer.from([0x22, 0xff, 0x22]), Buffer.alloc(0)]) {
      const head = Buffer.from(
        encodeFrameHead({ kind: FrameKind.message, epoch: 1, sequence: 0, header: 1, payload: [], checkPayload: true }),
      );
      head.writeUInt32LE(text.byteLength, 16);
      head.writeUInt32LE(crc32(text), 20);
      head.writeUInt32LE(crc32(head.subarray(0, 36)), 36);
      const reader = new FrameReader(bufferPool(), limits, () => undefined);
      throws(() => reader.feed(Buffer.concat([head.subarray(0, preludeBytes), text])), LapidaryError);
    }
  });
});

describe("crc32", () => {
  it("crc32 equals the checksum of zlib, by zlib or by table, over one piece or several", () => {
    strictEqual(crc32(Buffer.from("123456789")), 0xcbf43926);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const whole = crc32(bytes);
        strictEqual(crc32ByTable(bytes), whole);
        strictEqual(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut))), whole);
        strictEqual(crc32ByTable(bytes.subarray(cut), crc32ByTable(bytes.subarray(0, cut))), whole);
      }),
    );
  });
});

describe("buffer pool", () => {
  it("the buffer pool keeps at most its limit, and drops the least recently used size", () => {
    const pool = bufferPool(100_000);
    const [old, recent] = [pool.acquire(40_000), pool.acquire(50_000)];
    pool.release(old);
    pool.release(recent);
    const extra = pool.acquire(30_000);
    pool.release(extra);
    ok(pool.acquire(40_000).buffer !== old.buffer);
    strictEqual(pool.acquire(50_000).buffer, recent.buffer);
    strictEqual(pool.acquire(30_000).buffer, extra.buffer);
  });

  it("the buffer pool accepts only whole buffers, and each once", () => {
    const pool = bufferPool();
    const buffer = pool.acquire(10_000);
    pool.release(buffer.subarray(1));
    ok(pool.acquire(9_999).buffer !== buffer.buffer);
    pool.release(buffer);
    throws(() => pool.release(buffer), /once/);
  });
});
