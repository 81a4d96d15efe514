import { ok, strictEqual } from "node:assert/strict";
import { type Clock } from "@lapidary/std";
import type { Channel } from "./channel.js";
import { Heartbeat, memoryPair, type Timer } from "./index.js";

/** Time that stands still until it is moved, and the ticks that are due then. */
class Wheel implements Clock, Timer {
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
  get watchers(): number {
    return this.#ticks.length;
  }
  /** Moves time, lets everyone tick once, then lets what they sent arrive. */
  async turn(ms: number): Promise<void> {
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
  const watch = (wheel: Wheel, channel: Channel): Heartbeat =>
    new Heartbeat(channel, { clock: wheel, timer: wheel, everyMs: 100, deadlineMs: 500 });

  it("keeps two living sides together for ever", async () => {
    const wheel = new Wheel();
    const [a, b] = channels;
    watch(wheel, a);
    watch(wheel, b);
    for (let i = 0; i < 100; i++) await wheel.turn(100);
    ok(a.isOpen && b.isOpen);
  });

  it("gives a silent side up once the deadline is past, not before", async () => {
    const wheel = new Wheel();
    const [a] = channels;
    const heart = watch(wheel, a);
    for (let i = 0; i < 5; i++) await wheel.turn(100);
    ok(a.isOpen);
    ok(heart.silentMs <= 500);
    await wheel.turn(100);
    await wheel.turn(100);
    const reason = await a.closed;
    strictEqual(reason.kind === "lost" && reason.error.code, "LAP_FABRIC_DEADLINE");
    strictEqual(wheel.watchers, 0);
  });

  it("does not evict for a pause of its own", async () => {
    const wheel = new Wheel();
    const [a, b] = channels;
    watch(wheel, a);
    await wheel.turn(100);
    await wheel.turn(60_000);
    ok(a.isOpen);
    b.beat();
    await wheel.turn(100);
    await wheel.turn(100);
    ok(a.isOpen);
  });

  it("takes any message for a sign of life", async () => {
    const wheel = new Wheel();
    const [a, b] = channels;
    a.onMessage(() => undefined);
    watch(wheel, a);
    for (let i = 0; i < 20; i++) {
      b.send(i);
      await wheel.turn(100);
    }
    ok(a.isOpen);
  });

  it("stops when the channel closes", async () => {
    const wheel = new Wheel();
    const [a] = channels;
    watch(wheel, a);
    await a.close();
    await wheel.turn(100);
    strictEqual(wheel.watchers, 0);
  });
});
