/** Time is an argument, so that the fault simulation can control it. Production code reads no other clock. */
export interface Clock {
  /** Milliseconds since the epoch, for users. */
  now(): number;
  /** Monotonic milliseconds, for durations and deadlines. */
  monotonic(): number;
  /** Monotonic milliseconds with one origin for all processes of this machine: orders records of several processes. Absent if time is simulated. */
  sharedMonotonic?(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sharedMonotonic: () => Number(process.hrtime.bigint()) / 1e6,
};
