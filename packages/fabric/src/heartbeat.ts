import type { Clock } from "@lapidary/std";
import type { Channel } from "./channel.js";
import { deadlineError } from "./errors.js";

/** Calls something again and again; passed in, so that tests turn the wheel themselves. */
export interface Timer {
  /** Calls `tick` every `ms` milliseconds until the returned function is called. */
  every(ms: number, tick: () => void): () => void;
}

/** Does not keep the process alive by itself. */
export const systemTimer: Timer = {
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** A sign of life is sent, and the other side looked after, this often. Default 100. */
  readonly everyMs?: number;
  /** A silence longer than this gives the other side up. Default 2000. */
  readonly deadlineMs?: number;
  readonly timer?: Timer;
}

/**
 * Says "alive" to the other side of a channel and gives that side up when it is silent for longer than the deadline.
 *
 * Only silence that was watched counts: a tick that comes late because this process was stopped, starved or busy adds
 * no more than two intervals, so that nobody is evicted for a pause of ours. Any byte counts as a sign of life, an unfinished
 * message included.
 *
 * It needs nothing but a channel, so a process that computes on its main thread may open a second channel for it in
 * another thread.
 */
export class Heartbeat {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #deadlineMs: number;
  readonly #stop: () => void;
  #heardBytes: number;
  #lastTick: number;
  #silentMs = 0;

  constructor(channel: Channel, options: HeartbeatOptions) {
    this.#channel = channel;
    this.#clock = options.clock;
    this.#everyMs = options.everyMs ?? 100;
    this.#deadlineMs = options.deadlineMs ?? 2000;
    this.#heardBytes = channel.receivedBytes;
    this.#lastTick = this.#clock.monotonic();
    this.#stop = (options.timer ?? systemTimer).every(this.#everyMs, () => this.#tick());
    void channel.closed.then(() => this.stop());
  }

  /** Watched milliseconds since the other side was last heard. */
  get silentMs(): number {
    return this.#silentMs;
  }

  stop(): void {
    this.#stop();
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const passed = now - this.#lastTick;
    this.#lastTick = now;
    this.#channel.beat();
    if (this.#channel.receivedBytes !== this.#heardBytes) {
      this.#heardBytes = this.#channel.receivedBytes;
      this.#silentMs = 0;
      return;
    }
    this.#silentMs += Math.min(passed, 2 * this.#everyMs);
    if (this.#silentMs > this.#deadlineMs) this.#channel.abort(deadlineError(this.#silentMs, this.#deadlineMs));
  }
}
