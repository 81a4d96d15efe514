import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { type Channel, Heartbeat, connect } from "@lapidary/fabric";
import { LapidaryError, systemClock } from "@lapidary/std";
import { type WorkerHello, encodeHeartbeat, heartbeatTimes } from "@lapidary/protocol";
import { releaseMemory } from "./release-memory.js";

/**
 * The thread that sends heartbeats while the main thread computes. A stopped process sends none, and the coordinator evicts it.
 *
 * The thread connects to one coordinator after the other. It ends with the main thread, which decides how long the process waits for a coordinator.
 */
const { socket, hello, eventLoopTicks } = workerData as HeartbeatData;

/** What the main thread passes to this thread. */
export interface HeartbeatData {
  readonly socket: string;
  readonly hello: WorkerHello;
  /** One number: how often the event loop of the main thread has run. */
  readonly eventLoopTicks: Int32Array;
}

async function sendHeartbeats(channel: Channel): Promise<void> {
  new Heartbeat(channel, { clock: systemClock, everyMs: heartbeatTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });
  const ticks = setInterval(() => {
    if (channel.isOpen) channel.send(encodeHeartbeat(Atomics.load(eventLoopTicks, 0)));
  }, heartbeatTimes.ticksEveryMs);
  await channel.closed;
  clearInterval(ticks);
}

// While the main thread loads TensorFlow, it reads about 250 MB of files that it needs once. Only another thread can release their pages meanwhile.
const releaseEvery_ms = 10;
const releasing = setInterval(releaseMemory, releaseEvery_ms);
parentPort?.once("message", () => {
  clearInterval(releasing);
  releaseMemory();
});

for (;;) {
  try {
    await sendHeartbeats(await connect(socket, { hello: { ...hello, pulse: true } }));
  } catch (error) {
    // No coordinator listens at the socket now.
    if (!(error instanceof LapidaryError)) throw error;
  }
  await delay(heartbeatTimes.everyMs);
}
