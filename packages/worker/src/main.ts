import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { type Channel, type ChannelOptions, connect } from "@lapidary/fabric";
import { failpointsOf, LapidaryError, systemClock } from "@lapidary/std";
import { openDevice } from "./device/device.js";
import { type WorkerAnswer, type WorkerHello, buildId, controlLimits, encodeAnswer, pulseTimes } from "@lapidary/protocol";
import { serve } from "./runtime/serve.js";
import { awaitSuccessor } from "./runtime/successor.js";
import { Worker } from "./runtime/worker.js";

/**
 * The worker process: `node main.js --socket PATH --name NAME [--lease SECONDS]`. It connects to whoever spawned it, loads its kernels, says `ready` and serves.
 *
 * It ends when it is told to. When its coordinator dies it leaves its gang, keeps kernels and copies, and waits for the length of its lease for another
 * coordinator to listen at the same socket; without a lease (the default) it ends with its channel.
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

/** @param line takes what stderr would */
const logTo =
  (line: (text: string) => void): Log =>
  (level, message, more = {}) =>
    line(JSON.stringify({ time: systemClock.now(), level, worker: values.name, message, ...more }));

const toStderr = logTo((line) => process.stderr.write(`${line}\n`));

const say = (channel: Channel, answer: WorkerAnswer): void => {
  if (channel.isOpen) channel.send(encodeAnswer(answer));
};

async function main(socket: string): Promise<void> {
  let log = toStderr;
  const leaseMs = Number(values.lease) * 1000;
  // Ctrl-C reaches the whole process group; it is the coordinator's to decide what follows.
  process.on("SIGINT", () => undefined);
  // A pipe whose reader has died is no reason to die.
  process.stderr.on("error", () => undefined);
  process.title = `lapidary ${values.name}`;
  const hello: WorkerHello = { name: values.name, pid: process.pid, build: buildId() };
  const options: ChannelOptions = { hello: { ...hello }, limits: controlLimits };
  const spawner = await connect(socket, options);
  endUnlessOrphaned(spawner, leaseMs);
  // How often this thread came by its event loop: the pulse tells it, for a thread that hangs cannot.
  const turns = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(turns, 0, 1), pulseTimes.everyMs).unref();
  const pulse = new Thread(new URL("./runtime/pulse.js", import.meta.url), {
    workerData: { socket, hello, turns },
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 },
  });
  pulse.on("error", (error: Error) => log("warn", "signs of life cannot be given", { error: error.message }));
  pulse.unref();
  const device = await openDevice(values.backend === "wasm" ? "wasm" : "tensorflow");
  if (device.fallbackReason !== undefined)
    log("warn", "TensorFlow's kernels cannot be loaded: computing in WebAssembly, several times slower", {
      reason: device.fallbackReason,
      remedy: "run `npm run setup`, then `lapidary doctor`",
    });
  device.warmUp();
  pulse.postMessage("loaded");
  const ready = { kind: "ready", backend: device.backend, fallbackReason: device.fallbackReason ?? null } as const;
  const share = process.env.LAPIDARY_SHARED_MEMORY !== "off";
  // The coordinator reads `fault` and records the event in the run's journal.
  const failpoints = failpointsOf(process.env).observedBy((fault) => log("info", "a failpoint fired", { fault }));
  const worker = new Worker(device, systemClock, { failpoints, share });
  for (let channel = spawner; ; ) {
    say(channel, { ...ready, holds: worker.holds ?? null });
    const served = serve(channel, worker, {
      onError: (kind, error) =>
        log("error", `${kind} failed`, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    });
    await Promise.race([channel.closed, served]);
    // Beside one another: the successor is to know that this worker comes, and its peers may wait for it.
    const left = served.then(() => worker.leave());
    const next = await awaitSuccessor(socket, leaseMs, options, systemClock);
    if (next === undefined) {
      toStderr("warn", "no other coordinator came within the lease", { lease_s: leaseMs / 1000 });
      process.exit(0);
    }
    endUnlessOrphaned(next, leaseMs);
    await left;
    channel = next;
    // It does not read what this process writes to stderr.
    log = logTo((line) => say(next, { kind: "log", line }));
    log("info", "taken over by another coordinator", { holds: worker.holds ?? null });
  }
}

/** The process ends with its channel, unless that was lost and there is a lease. */
function endUnlessOrphaned(channel: Channel, leaseMs: number): void {
  void channel.closed.then((reason) => {
    if (reason.kind !== "lost") process.exit(0);
    toStderr("warn", "the coordinator is gone", { error: reason.error.message });
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
