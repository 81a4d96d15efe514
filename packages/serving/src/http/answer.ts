import type { ServerResponse } from "node:http";
import type { LapidaryError } from "@lapidary/std";
import { errorAnswer } from "../errors.js";

/** Calls `act` once after `ms` milliseconds, unless the returned function is called before. */
export type SetTimer = (ms: number, act: () => void) => () => void;

export interface ReaderLimits {
  /** A client with more unsent bytes is disconnected. */
  readonly maxUnsent_bytes: number;
  /** A client for which bytes wait longer is disconnected. */
  readonly unreadTimeout_ms: number;
}

const commonHeaders = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

/**
 * The answer to one request. Closes the connection of a client that does not read: bytes wait in memory up to a limit and for a limited time.
 * The caller aborts the generation when the connection closes.
 */
export class Answer {
  readonly #response: ServerResponse;
  readonly #limits: ReaderLimits;
  readonly #setTimer: SetTimer;
  #stopTimer: (() => void) | undefined;

  constructor(response: ServerResponse, limits: ReaderLimits, setTimer: SetTimer) {
    this.#response = response;
    this.#limits = limits;
    this.#setTimer = setTimer;
    response.on("drain", () => this.#clearTimer());
    response.once("close", () => this.#clearTimer());
  }

  /** Whether the client has received, or will receive, a status. */
  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
    if (this.#response.destroyed) return;
    const text = JSON.stringify(body);
    const length = { "content-type": "application/json; charset=utf-8", "content-length": String(Buffer.byteLength(text)) };
    this.#response.writeHead(status, { ...commonHeaders, ...length, ...headers });
    this.#end(text);
  }

  /** Sends a server-sent event. The first event sends the head. @param data without line feeds */
  event(data: string): void {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return;
    if (!response.headersSent) response.writeHead(200, { ...commonHeaders, "content-type": "text/event-stream; charset=utf-8" });
    const isFlushed = response.write(`data: ${data}\n\n`);
    if (response.writableLength > this.#limits.maxUnsent_bytes) response.destroy();
    else if (!isFlushed) this.#startTimer();
  }

  endEvents(): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#end();
  }

  /** Sends an error: with its status, or as the last event of a stream that has begun. */
  fail(error: LapidaryError, headers: Readonly<Record<string, string>> = {}): void {
    const { status, body } = errorAnswer(error);
    if (!this.hasBegun) return this.json(status, body, headers);
    this.event(JSON.stringify(body));
    this.endEvents();
  }

  #end(text?: string): void {
    this.#response.end(text);
    if (!this.#response.writableFinished) this.#startTimer();
  }

  #startTimer(): void {
    this.#stopTimer ??= this.#setTimer(this.#limits.unreadTimeout_ms, () => this.#response.destroy());
  }

  #clearTimer(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }
}
