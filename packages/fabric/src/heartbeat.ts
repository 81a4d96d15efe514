import type { Clock } from "@lapidary/std";
import type { Channel } from "./channel.js";
import { deadlineError } from "./errors.js";
import { systemTimer, type Timer } from "./runtime.js";

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** Interval between two heartbeats, and between two checks of the peer. Default 100. */
  readonly everyMs?: number;
  /** The channel is aborted after a longer silence of the peer. Default 2000. */
  readonly deadlineMs?: number;
  readonly timer?: Pick<Timer, "every">;
}

/**
 * Sends heartbeats on a channel, and aborts the channel when its peer is silent for longer than the deadline.
 *
 * Only observed silence counts: a tick that is late because this process was stopped, starved or busy adds at most two
 * intervals. A pause of this process therefore evicts no peer. Any received byte ends the silence, also of an unfinished
 * message.
 *
 * A heartbeat needs only a channel. A process that computes on its main thread may open a second channel for its heartbeat
 * in another thread.
 */
export class Heartbeat {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #deadlineMs: number;
  readonly #stop: () => void;
  #lastReceivedBytes: number;
  #lastTick: number;
  #silentMs = 0;

  constructor(channel: Channel, options: HeartbeatOptions) {
    this.#channel = channel;
    this.#clock = options.clock;
    this.#everyMs = options.everyMs ?? 100;
    this.#deadlineMs = options.deadlineMs ?? 2000;
    this.#lastReceivedBytes = channel.receivedBytes;
    this.#lastTick = this.#clock.monotonic();
    this.#stop = (options.timer ?? systemTimer).every(this.#everyMs, () => this.#tick());
    void channel.closed.then(() => this.stop());
  }

  /** Observed milliseconds since the last byte of the peer. */
  get silentMs(): number {
    return this.#silentMs;
  }

  stop(): void {
    this.#stop();
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const elapsedMs = now - this.#lastTick;
    this.#lastTick = now;
    this.#channel.sendHeartbeat();
    if (this.#channel.receivedBytes !== this.#lastReceivedBytes) {
      this.#lastReceivedBytes = this.#channel.receivedBytes;
      this.#silentMs = 0;
      return;
    }
    this.#silentMs += Math.min(elapsedMs, 2 * this.#everyMs);
    if (this.#silentMs > this.#deadlineMs) this.#channel.abort(deadlineError(this.#silentMs, this.#deadlineMs));
  }
}
