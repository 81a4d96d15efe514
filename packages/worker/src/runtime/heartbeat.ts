import { parentPort, workerData } from "node:worker_threads";
import { systemRuntime } from "@lapidary/fabric";
import type { WorkerHello } from "@lapidary/protocol";
import { releaseMemory } from "./release-memory.js";
import { sendHeartbeats } from "./send-heartbeats.js";

/**
 * The thread that sends heartbeats while the main thread computes. It ends with the main thread, which decides how long the process waits for a
 * coordinator.
 */
const { socket, hello, eventLoopTicks } = workerData as HeartbeatData;

/** What the main thread passes to this thread. */
export interface HeartbeatData {
  readonly socket: string;
  readonly hello: WorkerHello;
  /** One number: how often the event loop of the main thread has run. */
  readonly eventLoopTicks: Int32Array;
}

// While the main thread loads TensorFlow, it reads about 250 MB of files that it needs once. Only another thread can release their pages meanwhile.
const releaseEvery_ms = 10;
const releasing = setInterval(releaseMemory, releaseEvery_ms);
parentPort?.once("message", () => {
  clearInterval(releasing);
  releaseMemory();
});

await sendHeartbeats({ socket, hello, eventLoopTicks: () => Atomics.load(eventLoopTicks, 0), runtime: systemRuntime });
