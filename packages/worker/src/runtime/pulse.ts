import { parentPort, workerData } from "node:worker_threads";
import { Heartbeat, connect } from "@lapidary/fabric";
import { systemClock } from "@lapidary/std";
import { type WorkerHello, pulseTimes } from "../protocol.js";
import { releaseMemory } from "./release-memory.js";

/** The thread that says that its process lives, whatever the main thread computes. A process that is stopped is silent, and given up. */
const { socket, hello } = workerData as { readonly socket: string; readonly hello: WorkerHello };
const channel = await connect(socket, { hello: { ...hello, pulse: true } });
new Heartbeat(channel, { clock: systemClock, everyMs: pulseTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });

// While the main thread loads TensorFlow, it reads some 250 MB of files that it needs once. Nobody but another thread can let go of them meanwhile.
const releaseEvery_ms = 10;
const releasing = setInterval(releaseMemory, releaseEvery_ms);
parentPort?.once("message", () => {
  clearInterval(releasing);
  releaseMemory();
});
