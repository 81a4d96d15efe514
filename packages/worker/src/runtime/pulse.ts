import { parentPort, workerData } from "node:worker_threads";
import { Heartbeat, connect } from "@lapidary/fabric";
import { systemClock } from "@lapidary/std";
import { type PulseMessage, type WorkerHello, pulseTimes } from "../protocol.js";
import { releaseMemory } from "./release-memory.js";

/** The thread that says that its process lives, whatever the main thread computes. A process that is stopped is silent, and given up. */
const { socket, hello, turns } = workerData as { readonly socket: string; readonly hello: WorkerHello; readonly turns: Int32Array };
const channel = await connect(socket, { hello: { ...hello, pulse: true } });
new Heartbeat(channel, { clock: systemClock, everyMs: pulseTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });
setInterval(() => {
  if (channel.isOpen) channel.send({ turns: Atomics.load(turns, 0) } satisfies PulseMessage);
}, pulseTimes.turnsEveryMs).unref();

// While the main thread loads TensorFlow, it reads some 250 MB of files that it needs once. Nobody but another thread can let go of them meanwhile.
const releaseEvery_ms = 10;
const releasing = setInterval(releaseMemory, releaseEvery_ms);
parentPort?.once("message", () => {
  clearInterval(releasing);
  releaseMemory();
});
