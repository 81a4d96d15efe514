import { setTimeout as delay } from "node:timers/promises";
import { type Channel, type ChannelOptions, connect } from "@lapidary/fabric";
import { type Clock, LapidaryError } from "@lapidary/std";

/** Between two attempts to reach a coordinator. */
const retryMs = 100;

/**
 * A channel to the coordinator that follows one that died: it listens where the other did.
 *
 * @param leaseMs how long it may take to come
 * @returns undefined when none came
 */
export async function awaitSuccessor(socket: string, leaseMs: number, options: ChannelOptions, clock: Clock): Promise<Channel | undefined> {
  for (const deadline = clock.monotonic() + leaseMs; clock.monotonic() < deadline; await delay(retryMs)) {
    try {
      return await connect(socket, options);
    } catch (error) {
      // Nobody listens yet, or whoever did is about to die.
      if (!(error instanceof LapidaryError)) throw error;
    }
  }
  return undefined;
}
