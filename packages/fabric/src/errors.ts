import { type ErrorCode, LapidaryError } from "@lapidary/std";

/** The bytes are not a frame, or the frame was changed on its way. */
export function frameError(message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_FRAME",
    message,
  });
}

/** A frame declares more bytes than this channel accepts. No memory was allocated for it. */
export function limitError(what: string, bytes: number, limit: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_LIMIT",
    message: `frame too large: ${bytes} bytes of ${what}, the limit is ${limit}`,
  });
}

/** A frame was lost, repeated or reordered. */
export function sequenceError(expected: number, received: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_SEQUENCE",
    message: `frame lost, repeated or reordered: expected frame ${expected}, received frame ${received}`,
  });
}

/** The peer belongs to another attempt of the run. */
export function epochError(ownEpoch: number, peerEpoch: number, location?: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_EPOCH",
    message: `epoch mismatch: peer ${peerEpoch}, own ${ownEpoch}`,
    ...(location === undefined ? {} : { location }),
  });
}

/** The peer process ended, or its socket broke. */
export function lostError(message: string, location?: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_LOST",
    message,
    ...(location === undefined ? {} : { location }),
    cause,
  });
}

/** The channel was closed and carries no more messages. */
export function closedError(why: string): LapidaryError {
  return new LapidaryError({ code: "LAP_FABRIC_CLOSED", message: `the channel is closed: ${why}` });
}

/** No process accepts the connection, or not in time. */
export function unreachableError(location: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_UNREACHABLE",
    message: `cannot connect to the socket: ${why}`,
    location,
    cause,
  });
}

/** The peer was silent for too long. */
export function deadlineError(silentMs: number, deadlineMs: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_FABRIC_DEADLINE",
    message: `peer unresponsive: no byte received for ${Math.round(silentMs)} ms, the deadline is ${deadlineMs} ms`,
  });
}

/** Codes of received frames that were changed on their way. The death of a peer never has these codes. */
const damageCodes: readonly string[] = ["LAP_FABRIC_FRAME", "LAP_FABRIC_SEQUENCE"] satisfies ErrorCode[];

/** A worker of the group is lost, or its frames are damaged on their way. Everything in flight in the group is void. */
export class PeerLostError extends LapidaryError {
  /** Rank of the lost worker in the worker group. */
  readonly peer: number;

  constructor(peer: number, message: string, cause?: unknown) {
    const damaged = cause instanceof LapidaryError && damageCodes.includes(cause.code);
    super({
      code: damaged ? "LAP_FABRIC_DAMAGED" : "LAP_FABRIC_PEER_LOST",
      message: damaged ? `data of worker ${peer} was damaged on its way: ${message}` : `worker ${peer} is lost: ${message}`,
      location: `worker ${peer}`,
      remedy: damaged
        ? "repeat the step in flight; if this happens often, check this machine's memory"
        : `read the log of worker ${peer}, and repeat the step in flight`,
      cause,
    });
    this.name = "PeerLostError";
    this.peer = peer;
  }
}
