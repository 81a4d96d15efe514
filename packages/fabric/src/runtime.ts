import { type Clock, systemClock } from "@lapidary/std";
import { unixSockets } from "./unix-sockets.js";
import type { Transport } from "./wire.js";

/** Timers are an argument, like the clock, so that the fault simulation can control them. */
export interface Timer {
  /** Calls `tick` every `ms` milliseconds until the returned function is called. It does not keep the process alive. */
  every(ms: number, tick: () => void): () => void;
  /** Calls `work` once after `ms` milliseconds, unless the returned function is called before. */
  after(ms: number, work: () => void): () => void;
}

/** The timer of the system. */
export const systemTimer: Timer = {
  every(ms, tick) {
    const timer = setInterval(tick, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms` milliseconds. */
export const delay = (timer: Timer, ms: number): Promise<void> => new Promise((resolve) => timer.after(ms, resolve));

/** What the package needs from its process. */
export interface Runtime {
  readonly clock: Clock;
  readonly timer: Timer;
  readonly transport: Transport;
}

export const systemRuntime: Runtime = { clock: systemClock, timer: systemTimer, transport: unixSockets };
