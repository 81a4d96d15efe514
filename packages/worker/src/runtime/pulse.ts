import { workerData } from "node:worker_threads";
import { Heartbeat, connect } from "@lapidary/fabric";
import { systemClock } from "@lapidary/std";
import { type WorkerHello, pulseTimes } from "../protocol.js";

/** The thread that says that its process lives, whatever the main thread computes. A process that is stopped is silent, and given up. */
const { socket, hello } = workerData as { readonly socket: string; readonly hello: WorkerHello };
const channel = await connect(socket, { hello: { ...hello, pulse: true } });
new Heartbeat(channel, { clock: systemClock, everyMs: pulseTimes.everyMs, deadlineMs: Number.POSITIVE_INFINITY });
