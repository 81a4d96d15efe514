import { type Channel, connect, delay, Heartbeat, type Runtime } from "@lapidary/fabric";
import { type WorkerHello, encodeHeartbeat, heartbeatTimes } from "@lapidary/protocol";
import { LapidaryError } from "@lapidary/std";

export interface HeartbeatOptions {
  /** The socket at which coordinators listen, one after the other. */
  readonly socket: string;
  readonly hello: WorkerHello;
  /** How often the event loop of the main thread has run. */
  readonly eventLoopTicks: () => number;
  readonly runtime: Runtime;
}

/** Sends heartbeats to one coordinator after the other, until the process ends. A stopped process sends none, and the coordinator evicts it. */
export async function sendHeartbeats(options: HeartbeatOptions): Promise<never> {
  const { socket, hello, runtime } = options;
  for (;;) {
    try {
      await beat(await connect(socket, { hello: { ...hello, pulse: true }, runtime }), options);
    } catch (error) {
      // No coordinator listens at the socket now.
      if (!(error instanceof LapidaryError)) throw error;
    }
    await delay(runtime.timer, heartbeatTimes.everyMs);
  }
}

async function beat(channel: Channel, { eventLoopTicks, runtime: { clock, timer } }: HeartbeatOptions): Promise<void> {
  new Heartbeat(channel, { clock, timer, everyMs: heartbeatTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });
  const stop = timer.every(heartbeatTimes.ticksEveryMs, () => {
    if (channel.isOpen) channel.send(encodeHeartbeat(eventLoopTicks()));
  });
  await channel.closed;
  stop();
}
