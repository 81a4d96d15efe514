import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { openDevice } from "@lapidary/executor";
import { type Channel, systemRuntime } from "@lapidary/fabric";
import { failpointsOf, LapidaryError, systemClock } from "@lapidary/std";
import { type WorkerHello, buildId, encodeAnswer, heartbeatTimes } from "@lapidary/protocol";
import type { HeartbeatData } from "./runtime/heartbeat.js";
import { type Log, type OpenedWorker, serveCoordinators } from "./runtime/serve-coordinators.js";
import { Worker } from "./runtime/worker.js";
import { processDevice } from "./runtime/worker-device.js";

/** The worker process: `node main.js --socket PATH --name NAME [--lease SECONDS]`. `serveCoordinators` is its life. */
const { values } = parseArgs({
  options: {
    socket: { type: "string" },
    name: { type: "string", default: "worker" },
    lease: { type: "string", default: "0" },
    backend: { type: "string", default: "tensorflow" },
  },
});

/** @param line writes one line of the log */
const logTo =
  (line: (text: string) => void): Log =>
  (level, message, more = {}) =>
    line(JSON.stringify({ time: systemClock.now(), level, worker: values.name, message, ...more }));

const toStderr = logTo((line) => process.stderr.write(`${line}\n`));

async function main(socket: string): Promise<void> {
  /** The coordinator that took over this process. It does not read the stderr of this process. */
  let successor: Channel | undefined;
  const log = logTo((line) => {
    if (successor?.isOpen === true) successor.send(encodeAnswer({ kind: "log", line }));
    else process.stderr.write(`${line}\n`);
  });
  // Ctrl-C reaches the whole process group. The coordinator decides whether its workers exit.
  process.on("SIGINT", () => undefined);
  // The process continues if the reader of its stderr has exited.
  process.stderr.on("error", () => undefined);
  process.title = `lapidary ${values.name}`;
  const hello: WorkerHello = { name: values.name, pid: process.pid, build: buildId() };
  await serveCoordinators({
    socket,
    hello,
    leaseMs: Number(values.lease) * 1000,
    runtime: systemRuntime,
    open: () => openWorker(socket, hello, log),
    log,
    takenOver: (coordinator) => (successor = coordinator),
    exit: () => process.exit(0),
  });
}

/** Loads the kernels. Meanwhile, and later, another thread sends heartbeats. */
async function openWorker(socket: string, hello: WorkerHello, log: Log): Promise<OpenedWorker> {
  // The heartbeat thread reports how often this thread's event loop has run, because a thread that hangs cannot report it.
  const eventLoopTicks = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(eventLoopTicks, 0, 1), heartbeatTimes.everyMs).unref();
  const heartbeat = new Thread(new URL("./runtime/heartbeat.js", import.meta.url), {
    workerData: { socket, hello, eventLoopTicks } satisfies HeartbeatData,
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 },
  });
  heartbeat.on("error", (error: Error) => log("warn", "the worker cannot send heartbeats", { error: error.message }));
  heartbeat.unref();
  const device = await openDevice(values.backend === "wasm" ? "wasm" : "tensorflow");
  if (device.fallbackReason !== undefined)
    log("warn", "TensorFlow's kernels cannot be loaded: computing in WebAssembly, several times slower", {
      reason: device.fallbackReason,
      remedy: "run `lapidary setup`, then `lapidary doctor`",
    });
  device.warmUp();
  heartbeat.postMessage("loaded");
  const share = process.env.LAPIDARY_SHARED_MEMORY !== "off";
  // The coordinator reads `fault` and records the event in the journal of the run.
  const failpoints = failpointsOf(process.env).observedBy((fault) => log("info", "a failpoint fired", { fault }));
  return {
    worker: new Worker(processDevice(device), systemClock, { failpoints, share }),
    ready: { kind: "ready", backend: device.backend, fallbackReason: device.fallbackReason ?? null },
  };
}

if (values.socket === undefined) {
  toStderr("error", "--socket is missing", { remedy: "workers are started by the coordinator, not by hand" });
  process.exit(2);
}
main(values.socket).catch((error: unknown) => {
  toStderr("error", "the worker failed", {
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    // The coordinator reports this error if the worker was not ready.
    failure: asFailure(error),
  });
  process.exit(1);
});

function asFailure(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  return new LapidaryError({ code: "LAP_WORKER_FAILED", message: error instanceof Error ? error.message : String(error), cause: error });
}
