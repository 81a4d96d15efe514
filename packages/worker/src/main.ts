import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { openDevice } from "@lapidary/executor";
import { type Channel, type ChannelOptions, connect } from "@lapidary/fabric";
import { failpointsOf, LapidaryError, systemClock } from "@lapidary/std";
import { type WorkerAnswer, type WorkerHello, buildId, controlLimits, encodeAnswer, heartbeatTimes } from "@lapidary/protocol";
import { awaitNextCoordinator } from "./runtime/failover.js";
import type { HeartbeatData } from "./runtime/heartbeat.js";
import { serve } from "./runtime/serve.js";
import { Worker } from "./runtime/worker.js";

/**
 * The worker process: `node main.js --socket PATH --name NAME [--lease SECONDS]`. It connects to the coordinator that started it, loads its kernels,
 * sends `ready` and serves.
 *
 * It exits on `shutdown`. If its coordinator exits, it leaves its worker group and keeps kernels and replicas. Until its lease ends, it tries to connect
 * to the next coordinator at the same socket. Without a lease (the default) it exits when its channel closes.
 */
const { values } = parseArgs({
  options: {
    socket: { type: "string" },
    name: { type: "string", default: "worker" },
    lease: { type: "string", default: "0" },
    backend: { type: "string", default: "tensorflow" },
  },
});

type Log = (level: "info" | "warn" | "error", message: string, more?: Readonly<Record<string, unknown>>) => void;

/** @param line writes one line of the log */
const logTo =
  (line: (text: string) => void): Log =>
  (level, message, more = {}) =>
    line(JSON.stringify({ time: systemClock.now(), level, worker: values.name, message, ...more }));

const toStderr = logTo((line) => process.stderr.write(`${line}\n`));

const send = (channel: Channel, answer: WorkerAnswer): void => {
  if (channel.isOpen) channel.send(encodeAnswer(answer));
};

async function main(socket: string): Promise<void> {
  let log = toStderr;
  const leaseMs = Number(values.lease) * 1000;
  // Ctrl-C reaches the whole process group. The coordinator decides whether its workers exit.
  process.on("SIGINT", () => undefined);
  // The process continues if the reader of its stderr has exited.
  process.stderr.on("error", () => undefined);
  process.title = `lapidary ${values.name}`;
  const hello: WorkerHello = { name: values.name, pid: process.pid, build: buildId() };
  const options: ChannelOptions = { hello: { ...hello }, limits: controlLimits };
  const first = await connect(socket, options);
  exitWhenClosed(first, leaseMs);
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
  const ready = { kind: "ready", backend: device.backend, fallbackReason: device.fallbackReason ?? null } as const;
  const share = process.env.LAPIDARY_SHARED_MEMORY !== "off";
  // The coordinator reads `fault` and records the event in the journal of the run.
  const failpoints = failpointsOf(process.env).observedBy((fault) => log("info", "a failpoint fired", { fault }));
  const worker = new Worker(device, systemClock, { failpoints, share });
  for (let channel = first; ; ) {
    send(channel, { ...ready, holds: worker.heldReplicas ?? null });
    const served = serve(channel, worker, {
      onError: (kind, error) =>
        log("error", `${kind} failed`, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    });
    await Promise.race([channel.closed, served]);
    // Both in parallel: the next coordinator waits for this worker's hello, and the peers may wait for it to leave.
    const left = served.then(() => worker.leave());
    const next = await awaitNextCoordinator(socket, leaseMs, options, systemClock);
    if (next === undefined) {
      toStderr("warn", "no other coordinator listened within the lease", { lease_s: leaseMs / 1000 });
      process.exit(0);
    }
    exitWhenClosed(next, leaseMs);
    await left;
    channel = next;
    // The next coordinator does not read the stderr of this process.
    log = logTo((line) => send(next, { kind: "log", line }));
    log("info", "taken over by another coordinator", { holds: worker.heldReplicas ?? null });
  }
}

/** Exits when the channel closes. If the coordinator was lost and the process has a lease, it does not exit. */
function exitWhenClosed(channel: Channel, leaseMs: number): void {
  void channel.closed.then((reason) => {
    if (reason.kind !== "lost") process.exit(0);
    toStderr("warn", "the connection to the coordinator is lost", { error: reason.error.message });
    if (leaseMs === 0) process.exit(0);
  });
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
