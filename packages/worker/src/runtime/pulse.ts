import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { type Channel, Heartbeat, connect } from "@lapidary/fabric";
import { LapidaryError, systemClock } from "@lapidary/std";
import { type PulseMessage, type WorkerHello, pulseTimes } from "@lapidary/protocol";
import { releaseMemory } from "./release-memory.js";

/**
 * The thread that says that its process lives, whatever the main thread computes. A process that is stopped is silent, and given up. It says so to one coordinator
 * after the other: how long that goes on is the main thread's to decide, and this thread ends with it.
 */
const { socket, hello, turns } = workerData as { readonly socket: string; readonly hello: WorkerHello; readonly turns: Int32Array };

async function live(channel: Channel): Promise<void> {
  new Heartbeat(channel, { clock: systemClock, everyMs: pulseTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });
  const telling = setInterval(() => {
    if (channel.isOpen) channel.send({ turns: Atomics.load(turns, 0) } satisfies PulseMessage);
  }, pulseTimes.turnsEveryMs);
  await channel.closed;
  clearInterval(telling);
}

// While the main thread loads TensorFlow, it reads some 250 MB of files that it needs once. Nobody but another thread can let go of them meanwhile.
const releaseEvery_ms = 10;
const releasing = setInterval(releaseMemory, releaseEvery_ms);
parentPort?.once("message", () => {
  clearInterval(releasing);
  releaseMemory();
});

for (;;) {
  try {
    await live(await connect(socket, { hello: { ...hello, pulse: true } }));
  } catch (error) {
    // Nobody listens there at the moment.
    if (!(error instanceof LapidaryError)) throw error;
  }
  await delay(pulseTimes.everyMs);
}
