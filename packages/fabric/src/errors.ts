import { type ErrorCode, LapidaryError } from "@lapidary/std";

/** Bytes that are no frame, or a frame that was changed on its way. */
export function frameError(message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_FRAME",
    message,
  });
}

/** A frame that announces more than this channel accepts; nothing was allocated for it. */
export function limitError(what: string, bytes: number, limit: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_LIMIT",
    message: `a frame announces ${bytes} bytes of ${what}, the limit is ${limit}`,
  });
}

/** A frame was lost, repeated or overtaken by another. */
export function sequenceError(expected: number, got: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_SEQUENCE",
    message: `expected frame ${expected}, got frame ${got}`,
  });
}

/** The other side belongs to another attempt of the run. */
export function epochError(here: number, there: number, place?: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_EPOCH",
    message: `the other side speaks for epoch ${there}, this side for epoch ${here}`,
    ...(place === undefined ? {} : { place }),
  });
}

/** The other process ended, or its socket broke. */
export function lostError(message: string, place?: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_LOST",
    message,
    ...(place === undefined ? {} : { place }),
    cause,
  });
}

/** The channel cannot carry anything any more. */
export function closedError(why: string): LapidaryError {
  return new LapidaryError({ code: "LAP_FABRIC_CLOSED", message: `the channel is closed: ${why}` });
}

/** Nobody answers at the address, or not in time. */
export function unreachableError(place: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_UNREACHABLE",
    message: `nobody answers at the socket: ${why}`,
    place,
    cause,
  });
}

/** The other side was silent for too long. */
export function deadlineError(silentMs: number, deadlineMs: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_DEADLINE",
    message: `nothing was heard from the other side for ${Math.round(silentMs)} ms, the deadline is ${deadlineMs} ms`,
  });
}

/** Codes that the death of the other side never causes: bytes were changed on their way. */
const damages: readonly string[] = ["LAP_FABRIC_FRAME", "LAP_FABRIC_SEQUENCE"] satisfies ErrorCode[];

/** A worker of the gang is gone, or what it sends is damaged on its way; whatever was in flight with the gang is void. */
export class PeerLostError extends LapidaryError {
  /** Rank of the lost worker in the gang. */
  readonly peer: number;

  constructor(peer: number, message: string, cause?: unknown) {
    const damaged = cause instanceof LapidaryError && damages.includes(cause.code);
    super({
      code: damaged ? "LAP_FABRIC_DAMAGED" : "LAP_FABRIC_PEER_LOST",
      message: damaged ? `what worker ${peer} sent was damaged on its way: ${message}` : `worker ${peer} is lost: ${message}`,
      place: `worker ${peer}`,
      remedy: damaged
        ? "the step in flight is redone; if it happens often, this machine's memory is faulty"
        : `look into the log of worker ${peer}; the step in flight must be redone`,
      cause,
    });
    this.name = "PeerLostError";
    this.peer = peer;
  }
}
