import { ok, strictEqual } from "node:assert/strict";
import { type Clock } from "@lapidary/std";
import type { Channel } from "./channel.js";
import { Heartbeat } from "./heartbeat.js";
import type { Timer } from "./runtime.js";
import { memoryPair } from "./testing/memory.js";

/** A clock and timer that the test advances. */
class ManualClock implements Clock, Pick<Timer, "every"> {
  #now = 0;
  #ticks: (() => void)[] = [];
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now;
  }
  every(_ms: number, tick: () => void): () => void {
    this.#ticks.push(tick);
    return () => {
      this.#ticks = this.#ticks.filter((other) => other !== tick);
    };
  }
  get timers(): number {
    return this.#ticks.length;
  }
  /** Advances the time, runs every timer once, then waits until their messages have arrived. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const tick of this.#ticks) tick();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

describe("heartbeat", () => {
  let channels: [Channel, Channel];
  beforeEach(async () => {
    channels = await memoryPair();
  });
  afterEach(async () => {
    await Promise.all(channels.map((channel) => channel.close()));
  });
  const watch = (clock: ManualClock, channel: Channel): Heartbeat =>
    new Heartbeat(channel, { clock, timer: clock, everyMs: 100, deadlineMs: 500 });

  it("a channel with heartbeats on both sides stays open", async () => {
    const clock = new ManualClock();
    const [a, b] = channels;
    watch(clock, a);
    watch(clock, b);
    for (let i = 0; i < 100; i++) await clock.advance(100);
    ok(a.isOpen && b.isOpen);
  });

  it("a heartbeat aborts the channel of a silent peer after the deadline, not before", async () => {
    const clock = new ManualClock();
    const [a] = channels;
    const heartbeat = watch(clock, a);
    for (let i = 0; i < 5; i++) await clock.advance(100);
    ok(a.isOpen);
    ok(heartbeat.silentMs <= 500);
    await clock.advance(100);
    await clock.advance(100);
    const reason = await a.closed;
    strictEqual(reason.kind === "lost" && reason.error.code, "LAP_FABRIC_DEADLINE");
    strictEqual(clock.timers, 0);
  });

  it("a pause of the own process does not abort the channel", async () => {
    const clock = new ManualClock();
    const [a, b] = channels;
    watch(clock, a);
    await clock.advance(100);
    await clock.advance(60_000);
    ok(a.isOpen);
    b.sendHeartbeat();
    await clock.advance(100);
    await clock.advance(100);
    ok(a.isOpen);
  });

  it("any message of the peer ends its silence", async () => {
    const clock = new ManualClock();
    const [a, b] = channels;
    a.onMessage(() => undefined);
    watch(clock, a);
    for (let i = 0; i < 20; i++) {
      b.send(i);
      await clock.advance(100);
    }
    ok(a.isOpen);
  });

  it("a heartbeat stops when its channel closes", async () => {
    const clock = new ManualClock();
    const [a] = channels;
    watch(clock, a);
    await a.close();
    await clock.advance(100);
    strictEqual(clock.timers, 0);
  });
});
