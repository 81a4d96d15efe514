import { randomInt, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Clock, systemClock } from "@lapidary/std";
import type { GenerationEngine } from "../engine.js";
import { asServingError, errorAnswer, malformedError, portError, stoppedError } from "../errors.js";
import { Scheduler, type SchedulerActivity } from "../generation/scheduler.js";
import { Answer, type ReaderLimits, type SetTimer } from "./answer.js";
import { accessCheck } from "./check-access.js";
import { ConnectionTurns } from "./connection-turns.js";
import { type RouteContext, route } from "./routes.js";

export interface ServeLimits extends ReaderLimits {
  readonly bodyLimit_bytes: number;
  /** Texts that wait for the engine. More are refused with status 429. */
  readonly maxWaitingRows: number;
}

const defaultLimits: ServeLimits = {
  bodyLimit_bytes: 1 << 20,
  maxWaitingRows: 512,
  maxUnsent_bytes: 1 << 20,
  unreadTimeout_ms: 30_000,
};

export interface ServeOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Each request has it as `Authorization: Bearer TOKEN`. */
  readonly token: string;
  /** Host names that the server answers for, besides loopback names, in lower case. */
  readonly allowedHosts?: readonly string[];
  readonly engine: GenerationEngine;
  /** Called with internal errors and failures of the engine. */
  readonly onFailure: (error: unknown) => void;
  readonly limits?: Partial<ServeLimits>;
  readonly clock?: Clock;
  readonly setTimer?: SetTimer;
  /** Draws the seed of a request that has none. */
  readonly randomSeed?: () => number;
  /** Draws the id of an answer. */
  readonly newId?: () => string;
}

interface ServingActivity extends SchedulerActivity {
  /** Requests without a complete answer. */
  readonly requests: number;
}

export interface ModelServer {
  readonly port: number;
  activity(): ServingActivity;
  /** Fails all requests, closes all connections, and waits until the engine ended its calls. */
  close(): Promise<void>;
}

const systemTimer: SetTimer = (ms, act) => {
  const timer = setTimeout(act, ms);
  timer.unref();
  return () => clearTimeout(timer);
};

/** A client must send its headers and its body within these times. */
const receiveTimes = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000 };
const maxConnections = 1024;
const retryAfter_s = "1";

/**
 * Serves a model on the loopback interface with the chat and completions API of OpenAI.
 *
 * @throws LAP_PORT_TAKEN
 */
export async function serveModel(options: ServeOptions): Promise<ModelServer> {
  const { engine, clock = systemClock } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const scheduler = new Scheduler(engine, limits.maxWaitingRows);
  const randomSeed = options.randomSeed ?? (() => randomInt(2 ** 32));
  const newId = options.newId ?? (() => randomUUID().replaceAll("-", ""));
  const context: RouteContext = { engine, scheduler, clock, randomSeed, newId, bodyLimit_bytes: limits.bodyLimit_bytes };
  const exchanges = new Exchanges(options, limits, context);
  const server = createServer(receiveTimes, (request, response) => void exchanges.handle(request, response));
  server.maxConnections = maxConnections;
  server.on("clientError", (error, socket) => exchanges.refuse(error, socket as Socket));
  const port = await listenOn(server, options.port);
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    exchanges.stop();
    const engineEnded = scheduler.close();
    // The failed requests write their answers first.
    await new Promise((resolve) => setImmediate(resolve));
    server.closeAllConnections();
    await Promise.all([closed, engineEnded, exchanges.ended()]);
  };
  let closing: Promise<void> | undefined;
  return {
    port,
    activity: () => ({ requests: exchanges.count, ...scheduler.activity }),
    close: () => (closing ??= close()),
  };
}

async function listenOn(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (cause) {
    throw (cause as { code?: string }).code === "EADDRINUSE" ? portError(port, cause) : cause;
  }
  return (server.address() as AddressInfo).port;
}

/** Requests from their first byte to the end of their answer. */
class Exchanges {
  readonly #options: ServeOptions;
  readonly #limits: ServeLimits;
  readonly #context: RouteContext;
  readonly #checkAccess: ReturnType<typeof accessCheck>;
  readonly #turns = new ConnectionTurns();
  readonly #running = new Set<Promise<void>>();
  #isStopped = false;

  constructor(options: ServeOptions, limits: ServeLimits, context: RouteContext) {
    this.#options = options;
    this.#limits = limits;
    this.#context = context;
    this.#checkAccess = accessCheck(options.token, options.allowedHosts ?? []);
  }

  get count(): number {
    return this.#running.size;
  }

  /** New requests fail with LAP_SERVE_STOPPED. */
  stop(): void {
    this.#isStopped = true;
  }

  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const running = this.#turns
      .run(request.socket, response, () => this.#answer(request, response))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** An answer in progress would contain the bytes of the error, so the connection is closed instead. */
  refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === "ECONNRESET" || !socket.writable || this.#turns.isBusy(socket)) socket.destroy();
    else sendMalformed(error, socket);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const disconnect = new AbortController();
    const onClose = (): void => disconnect.abort(new Error("the client closed the connection"));
    socket.once("close", onClose);
    const answer = new Answer(response, this.#limits, this.#options.setTimer ?? systemTimer);
    try {
      if (this.#isStopped) throw stoppedError();
      this.#checkAccess(request.headers);
      await route({ request, answer, signal: disconnect.signal }, this.#context);
    } catch (thrown) {
      if (!disconnect.signal.aborted) this.#fail(answer, thrown);
    } finally {
      socket.off("close", onClose);
    }
  }

  #fail(answer: Answer, thrown: unknown): void {
    const error = asServingError(thrown);
    const { status } = errorAnswer(error);
    if (status === 500) this.#options.onFailure(thrown);
    answer.fail(error, status === 429 ? { "retry-after": retryAfter_s } : {});
  }
}

const statusLines: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** Answers bytes that are not an HTTP request, and closes the connection. */
function sendMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  const { body } = errorAnswer(malformedError("the request is not HTTP", error));
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${statusLines[error.code ?? ""] ?? "400 Bad Request"}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  socket.destroySoon();
}
