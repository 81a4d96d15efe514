/** Time is passed in, so that simulation tests can bend it. Production code reads no other clock. */
export interface Clock {
  /** Milliseconds since the epoch: for people. */
  now(): number;
  /** Monotonic milliseconds: for durations and deadlines. */
  monotonic(): number;
  /** Monotonic milliseconds with one origin for all processes of this machine: sets records of several side by side. Absent where time is simulated. */
  machine?(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  machine: () => Number(process.hrtime.bigint()) / 1e6,
};
