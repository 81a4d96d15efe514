import { parseArgs } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { type Channel, connect } from "@lapidary/fabric";
import { type JsonValue, failpointsOf, systemClock } from "@lapidary/std";
import { openDevice } from "./device/device.js";
import { type WorkerAnswer, type WorkerHello, controlLimits, pulseTimes } from "./protocol.js";
import { serve } from "./runtime/serve.js";
import { Worker } from "./runtime/worker.js";

/**
 * The worker process: `node main.js --socket PATH --name NAME`. It connects to whoever spawned it, loads its kernels, says `ready` and serves.
 * It ends with its channel: when the coordinator dies, however it dies, no worker stays behind.
 */
const { values } = parseArgs({
  options: { socket: { type: "string" }, name: { type: "string", default: "worker" }, backend: { type: "string", default: "tensorflow" } },
});

function log(level: "info" | "warn" | "error", message: string, more: Readonly<Record<string, unknown>> = {}): void {
  process.stderr.write(`${JSON.stringify({ time: systemClock.now(), level, worker: values.name, message, ...more })}\n`);
}

async function main(socket: string): Promise<void> {
  // Ctrl-C reaches the whole process group; it is the coordinator's to decide what follows.
  process.on("SIGINT", () => undefined);
  process.title = `lapidary ${values.name}`;
  const hello: WorkerHello = { name: values.name, pid: process.pid };
  const channel: Channel = await connect(socket, { hello: { ...hello }, limits: controlLimits });
  void channel.closed.then((reason) => {
    if (reason.kind === "lost") log("warn", "the coordinator is gone", { error: reason.error.message });
    process.exit(0);
  });
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
  const ready: WorkerAnswer = { kind: "ready", backend: device.backend, fallbackReason: device.fallbackReason ?? null };
  channel.send(ready as unknown as JsonValue);
  const share = process.env.LAPIDARY_SHARED_MEMORY !== "off";
  await serve(channel, new Worker(device, systemClock, { failpoints: failpointsOf(process.env), share }), {
    onError: (kind, error) =>
      log("error", `${kind} failed`, { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  });
}

if (values.socket === undefined) {
  log("error", "--socket is missing", { remedy: "workers are started by the coordinator, not by hand" });
  process.exit(2);
}
main(values.socket).catch((error: unknown) => {
  log("error", "the worker failed to start", { error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  process.exit(1);
});
