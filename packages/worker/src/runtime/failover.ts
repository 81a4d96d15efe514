import { type Channel, type ChannelOptions, connect, delay, type Runtime } from "@lapidary/fabric";
import { LapidaryError } from "@lapidary/std";

/** Time between two attempts to connect. */
const retryMs = 100;

/**
 * Connects to the next coordinator after the last one has exited. The next coordinator listens at the same socket.
 *
 * @param leaseMs time limit
 * @returns undefined if no coordinator listens within the lease
 */
export async function awaitNextCoordinator(
  socket: string,
  leaseMs: number,
  options: ChannelOptions,
  { clock, timer }: Runtime,
): Promise<Channel | undefined> {
  for (const deadline = clock.monotonic() + leaseMs; clock.monotonic() < deadline; await delay(timer, retryMs)) {
    try {
      return await connect(socket, options);
    } catch (error) {
      // No coordinator listens yet, or the last one still listens and is about to exit.
      if (!(error instanceof LapidaryError)) throw error;
    }
  }
  return undefined;
}
