/** Time is passed in, so that simulation tests can bend it. Production code reads no other clock. */
export interface Clock {
  /** Milliseconds since the epoch: for people. */
  now(): number;
  /** Monotonic milliseconds: for durations and deadlines. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
