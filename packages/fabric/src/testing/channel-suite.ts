import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import type { Channel, ChannelOptions } from "../channel.js";
import { Inbox, pattern } from "./inbox.js";

/** Opens two ends of a channel of the kind under test. */
export type OpenPair = (first?: ChannelOptions, second?: ChannelOptions) => Promise<[Channel, Channel]>;

/** The behaviour of every channel, over any wire. */
export function channelSuite(name: string, open: OpenPair): void {
  describe(`channel over ${name}`, () => {
    const opened: Channel[] = [];
    const pair = async (first?: ChannelOptions, second?: ChannelOptions): Promise<[Channel, Channel]> => {
      const both = await open(first, second);
      opened.push(...both);
      return both;
    };
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((channel) => channel.close()));
    });

    it("each side receives the hello of its peer", async () => {
      const [a, b] = await pair({ hello: { rank: 0 }, epoch: 3 }, { hello: { rank: 1 }, epoch: 3 });
      deepStrictEqual([a.peerHello, b.peerHello], [{ rank: 1 }, { rank: 0 }]);
      strictEqual(a.epoch, 3);
    });

    it("a channel delivers headers and payloads of all sizes in order, in both directions", async () => {
      const [a, b] = await pair();
      const sizes = [0, 1, 7, 39, 40, 4096, 65_495, 65_496, 65_497, 65_536, 200_000, 3_000_001];
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const inbox = new Inbox(to);
        for (const size of sizes) from.send({ size, text: "é".repeat(size % 100) }, [pattern(size)]);
        for (const size of sizes) {
          const { header, payload } = await inbox.next();
          deepStrictEqual(header, { size, text: "é".repeat(size % 100) });
          ok(Buffer.from(pattern(size)).equals(payload));
        }
      }
    });

    it("a channel delivers headers that are larger than every buffer of the reader", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      const texts = [30_000, 32_700, 32_800, 65_500, 70_000, 1_000_000].map((length) => "x".repeat(length));
      for (const text of texts) a.send({ text }, [pattern(10)]);
      for (const text of texts) deepStrictEqual((await inbox.next()).header, { text });
    });

    it("a channel joins the parts of a payload and delivers it aligned for typed arrays", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      const values = Float32Array.from({ length: 100_000 }, (_, i) => i / 3);
      const bytes = new Uint8Array(values.buffer);
      a.send("odd", [pattern(3)]);
      a.send("floats", [bytes.subarray(0, 101), bytes.subarray(101, 101), bytes.subarray(101)]);
      strictEqual((await inbox.next()).header, "odd");
      const { payload } = await inbox.next();
      strictEqual(payload.byteOffset % 8, 0);
      deepStrictEqual(new Float32Array(payload.buffer, payload.byteOffset, values.length), values);
    });

    it("messages that arrive before a handler is set are delivered to the handler", async () => {
      const [a, b] = await pair();
      for (let i = 0; i < 300; i++) a.send(i, [pattern(1000)]);
      b.send("reply");
      strictEqual((await new Inbox(a).next()).header, "reply");
      const inbox = new Inbox(b);
      for (let i = 0; i < 300; i++) strictEqual((await inbox.next()).header, i);
    });

    it("the sender may change a payload after drained resolves", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      const bytes = pattern(5_000_000);
      a.send(1, [bytes]);
      await a.drained();
      bytes.fill(0);
      ok(Buffer.from(pattern(5_000_000)).equals((await inbox.next()).payload));
    });

    it("a recycled payload is reused for the next message of its size", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      a.send(1, [pattern(50_000)]);
      const first = (await inbox.next()).payload;
      const { buffer } = first;
      b.recycle(first);
      a.send(2, [pattern(50_000, 2)]);
      const second = (await inbox.next()).payload;
      strictEqual(second.buffer, buffer);
      ok(Buffer.from(pattern(50_000, 2)).equals(second));
    });

    it("messages sent before a close are delivered, and both sides learn which side closed", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      for (let i = 0; i < 20; i++) a.send(i, [pattern(100_000)]);
      deepStrictEqual(await a.close(), { kind: "local" });
      for (let i = 0; i < 20; i++) strictEqual((await inbox.next()).header, i);
      deepStrictEqual(await b.closed, { kind: "closed" });
      strictEqual(b.isOpen, false);
    });

    it("send and drained fail on a closed channel", async () => {
      const [a, b] = await pair();
      await a.close();
      await b.closed;
      const closed = (error: unknown): boolean => error instanceof LapidaryError && error.code === "LAP_FABRIC_CLOSED";
      throws(() => a.send(1), closed);
      throws(() => b.send(1), closed);
      await rejects(a.drained(), closed);
    });

    it("both sides reject a peer of another epoch", async () => {
      await rejects(open({ epoch: 4 }, { epoch: 5 }), (error) => error instanceof LapidaryError && error.code === "LAP_FABRIC_EPOCH");
    });

    it("abort closes the channel with its error, and the peer is lost", async () => {
      const [a, b] = await pair();
      const reason = new LapidaryError({ code: "LAP_FABRIC_DEADLINE", message: "enough", remedy: "none" });
      a.abort(reason);
      deepStrictEqual(await a.closed, { kind: "lost", error: reason });
      const peerReason = await b.closed;
      strictEqual(peerReason.kind === "lost" && peerReason.error.code, "LAP_FABRIC_LOST");
    });

    it("a channel closes with the LapidaryError that its handler throws", async () => {
      const [a, b] = await pair();
      const refusal = new LapidaryError({ code: "LAP_WORKER_IDLE", message: "no such verb", remedy: "none" });
      b.onMessage(() => {
        throw refusal;
      });
      a.send("nonsense");
      deepStrictEqual(await b.closed, { kind: "lost", error: refusal });
      strictEqual((await a.closed).kind, "lost");
    });

    it("a channel neither sends nor accepts frames above its limits", async () => {
      const small = { limits: { headerBytes: 100, payloadBytes: 100 } };
      const [a, b] = await pair(small, {});
      const limit = (error: unknown): boolean => error instanceof LapidaryError && error.code === "LAP_FABRIC_LIMIT";
      throws(() => a.send(1, [pattern(101)]), limit);
      throws(() => a.send("x".repeat(100)), limit);
      a.send(1, [pattern(100)]);
      b.send(1, [pattern(101)]);
      const reason = await a.closed;
      ok(reason.kind === "lost" && limit(reason.error));
    });

    it("a heartbeat counts as received bytes and does not reach the handler", async () => {
      const [a, b] = await pair();
      const inbox = new Inbox(b);
      const before = b.receivedBytes;
      a.sendHeartbeat();
      a.send("after the heartbeat");
      strictEqual((await inbox.next()).header, "after the heartbeat");
      ok(b.receivedBytes > before + 80);
    });

    it("a channel without payload checksums delivers payloads", async () => {
      const [a, b] = await pair({ checkPayload: false }, {});
      const inbox = new Inbox(b);
      a.send(1, [pattern(100_000)]);
      ok(Buffer.from(pattern(100_000)).equals((await inbox.next()).payload));
    });
  });
}
