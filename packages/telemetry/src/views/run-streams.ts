import type { ServerResponse } from "node:http";
import { jsonText } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";
import type { WatchedFrames, RunMessage } from "@lapidary/api/view-api";
import { RunHistory } from "./run-history.js";
import { encodeWorkerSteps } from "@lapidary/api/frames";
import { WorkerStepTail } from "@lapidary/api/worker-steps";

/** Events are collected for this time, and then sent to all viewers as one message. */
const gatherMs = 200;
const keepAliveIntervalMs = 15_000;
/** A viewer with more unsent bytes is disconnected; its browser reconnects with the last number it received. */
const maxUnsentBytes = 1 << 20;
/** Histories of runs without viewers. */
const maxIdleHistories = 12;

export interface WatchedRun {
  readonly id: string;
  readonly directory: string;
  readonly isFinal: () => boolean;
}

/**
 * Sends new events of runs to viewers. A run with viewers costs a read of the growth of its files, five times a second. A viewer costs one write.
 * The coordinator waits for no viewer.
 *
 *     journal ──► history ──► text, made once ──►  viewer  viewer  viewer ✂ (too many unsent bytes)
 */
export class RunStreams {
  readonly #histories = new Map<string, RunHistory>();
  readonly #subscriptions = new Map<string, Subscription>();
  #closed = false;

  /** @param onError called with the error that ended a watch; its viewers reconnect */
  constructor(private readonly onError: (error: unknown) => void = () => undefined) {}

  history(run: WatchedRun): RunHistory {
    const known = this.#histories.get(run.id);
    const history = known ?? new RunHistory(run.directory);
    this.#histories.delete(run.id);
    this.#histories.set(run.id, history);
    for (const id of this.#histories.keys()) {
      if (this.#histories.size <= maxIdleHistories + this.#subscriptions.size) break;
      if (!this.#subscriptions.has(id) && id !== run.id) this.#histories.delete(id);
    }
    // While a watch exists, the watch sends the new events.
    if (!this.#subscriptions.has(run.id)) history.refresh();
    return history;
  }

  /** Server-sent events after number `after`: `events` with a list, `reset` if too many were missed, `end` after the last event. */
  streamEvents(run: WatchedRun, response: ServerResponse, after: number): void {
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    response.write("retry: 1000\n\n");
    const missed = this.history(run).since(after);
    if (missed === undefined) response.write(`event: reset\ndata: {}\n\n`);
    else if (missed.length > 0) response.write(eventsText(missed));
    this.#subscribe(run).addEvents(response);
  }

  /** Binary frames: the times of workers in each step from now on, after `first`. */
  streamFrames(run: WatchedRun, response: ServerResponse, first: readonly Uint8Array[]): void {
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    for (const frame of first) response.write(frame);
    response.flushHeaders();
    this.#subscribe(run).addFrames(response);
  }

  /** Sends both as messages `run` and `frames` of a stream of server-sent events that has begun and that other runs share. */
  streamRun(run: WatchedRun, response: ServerResponse, after: number, first: readonly Uint8Array[]): void {
    const missed = this.history(run).since(after);
    if (missed === undefined) response.write(runMessageText({ id: run.id, kind: "reset" }));
    else if (missed.length > 0) response.write(runMessageText({ id: run.id, kind: "events", events: missed }));
    for (const frame of first) response.write(framesText(run.id, frame));
    // Every run in the stream listens for its close.
    response.setMaxListeners(0);
    this.#subscribe(run).addShared(response);
  }

  close(): void {
    this.#closed = true;
    for (const subscription of this.#subscriptions.values()) subscription.close();
    this.#subscriptions.clear();
  }

  #subscribe(run: WatchedRun): Subscription {
    const known = this.#subscriptions.get(run.id);
    if (known !== undefined) return known;
    const subscription = new Subscription(
      run,
      this.history(run),
      // A resumed run has a new watch while viewers of the old one are still connected.
      (ended) => void (this.#subscriptions.get(run.id) === ended && this.#subscriptions.delete(run.id)),
      this.onError,
    );
    if (!this.#closed) this.#subscriptions.set(run.id, subscription);
    return subscription;
  }
}

/** The viewers of one run. It ends with the last of them, or after the run has ended and all its events are sent. */
class Subscription {
  readonly #events = new Set<ServerResponse>();
  readonly #frames = new Set<ServerResponse>();
  /** Streams that other runs share. They do not end with this run. */
  readonly #shared = new Set<ServerResponse>();
  readonly #tail: WorkerStepTail;
  readonly #timer: NodeJS.Timeout;
  #sinceKeepAlive = 0;

  constructor(
    private readonly run: WatchedRun,
    private readonly history: RunHistory,
    private readonly onEnd: (subscription: Subscription) => void,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#tail = new WorkerStepTail(run.directory);
    this.#tail.skip();
    this.#timer = setInterval(() => this.#tick(), gatherMs);
    this.#timer.unref();
  }

  addEvents(response: ServerResponse): void {
    this.#add(this.#events, response);
  }

  addFrames(response: ServerResponse): void {
    this.#add(this.#frames, response);
  }

  addShared(response: ServerResponse): void {
    this.#add(this.#shared, response);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const response of [...this.#events, ...this.#frames]) response.end();
    this.onEnd(this);
  }

  #add(viewers: Set<ServerResponse>, response: ServerResponse): void {
    viewers.add(response);
    response.once("close", () => {
      viewers.delete(response);
      if (this.#events.size + this.#frames.size + this.#shared.size === 0) this.close();
    });
  }

  #tick(): void {
    try {
      this.#publish();
    } catch (error) {
      // The files cannot be read now, or an internal error: viewers are disconnected and reconnect, and the coordinator continues.
      this.onError(error);
      for (const response of [...this.#events, ...this.#frames, ...this.#shared]) response.destroy();
      this.close();
    }
  }

  #publish(): void {
    // Read before the files: if the state is final, all events are in the files.
    const over = this.run.isFinal();
    const message = this.history.refresh();
    const { id } = this.run;
    if (message.length > 0) {
      if (this.#events.size > 0) this.#send(this.#events, eventsText(message));
      if (this.#shared.size > 0) this.#send(this.#shared, runMessageText({ id, kind: "events", events: message }));
    }
    const steps = this.#tail.read();
    if (steps.length > 0) {
      const frames = encodeWorkerSteps(steps[0]?.times.length ?? 0, steps);
      this.#send(this.#frames, frames);
      if (this.#shared.size > 0) this.#send(this.#shared, framesText(id, frames));
    }
    this.#sinceKeepAlive += gatherMs;
    if (this.#sinceKeepAlive >= keepAliveIntervalMs) {
      this.#sinceKeepAlive = 0;
      this.#send(this.#events, ": alive\n\n");
    }
    if (!over) return;
    this.#send(this.#events, "event: end\ndata: {}\n\n");
    this.#send(this.#shared, runMessageText({ id, kind: "end" }));
    this.close();
  }

  #send(viewers: ReadonlySet<ServerResponse>, text: string | Uint8Array): void {
    for (const response of viewers) {
      if (response.writableLength > maxUnsentBytes) response.destroy();
      else response.write(text);
    }
  }
}

const eventsText = (events: readonly StreamEvent[]): string =>
  `id: ${events.at(-1)?.id ?? 0}\nevent: events\ndata: ${jsonText(events)}\n\n`;

export const runMessageText = (message: RunMessage): string => `event: run\ndata: ${jsonText(message)}\n\n`;

const framesText = (id: string, frames: Uint8Array): string =>
  `event: frames\ndata: ${JSON.stringify({ id, base64: Buffer.from(frames).toString("base64") } satisfies WatchedFrames)}\n\n`;
