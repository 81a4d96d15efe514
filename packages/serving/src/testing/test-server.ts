import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { type ModelServer, type ServeOptions, serveModel } from "../http/serve-model.js";
import type { ErrorBody } from "../errors.js";
import { FakeEngine, type FakeEngineOptions } from "./fake-engine.js";

export const token = "0123456789abcdef0123456789abcdef";
export const model = "org/fake";

export interface Received {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** A server with a fake engine, and its client. */
export interface TestServer {
  readonly server: ModelServer;
  readonly engine: FakeEngine;
  /** Values that the server passed to `onFailure`. */
  readonly failures: unknown[];
  /** Sends a body as JSON, or a text unchanged, in a connection of its own. */
  send(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Received>;
  /** Starts a request. The caller reads the answer. */
  start(path: string, body: unknown): ClientRequest;
  post(path: string, body: unknown): Promise<Received>;
}

export async function openServer(engineOptions: FakeEngineOptions = {}, options: Partial<ServeOptions> = {}): Promise<TestServer> {
  const engine = new FakeEngine(engineOptions);
  const failures: unknown[] = [];
  const server = await serveModel({ port: 0, token, engine, onFailure: (error) => failures.push(error), ...options });
  const open = (method: string, path: string, headers: Readonly<Record<string, string>>): ClientRequest =>
    request({
      host: "127.0.0.1",
      port: server.port,
      agent: false,
      method,
      path,
      headers: { authorization: `Bearer ${token}`, ...headers },
    });
  const json = { "content-type": "application/json" };
  const send: TestServer["send"] = (method, path, body, headers = body === undefined ? {} : json) =>
    new Promise((resolve, reject) => {
      const sent = open(method, path, headers);
      sent.once("error", reject);
      sent.once("response", (response) => resolve(receive(response)));
      sent.end(body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
    });
  return {
    server,
    engine,
    failures,
    send,
    post: (path, body) => send("POST", path, body),
    start(path, body) {
      const sent = open("POST", path, json);
      sent.end(JSON.stringify(body));
      return sent;
    },
  };
}

async function receive(response: IncomingMessage): Promise<Received> {
  let text = "";
  response.setEncoding("utf8");
  for await (const piece of response) text += piece;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

/** The `data` of the events of a stream, up to `[DONE]`. @throws Error for any other form */
export function eventsOf(text: string): unknown[] {
  const events = text.split("\n\n");
  if (events.pop() !== "") throw new Error("the last event has no end");
  const data = events.map((event) => {
    if (!event.startsWith("data: ") || event.includes("\n")) throw new Error(`not an event: ${event}`);
    return event.slice("data: ".length);
  });
  if (data.pop() !== "[DONE]") throw new Error("the stream does not end with [DONE]");
  return data.map((each): unknown => JSON.parse(each));
}

export const errorOf = ({ text }: Received): ErrorBody["error"] => (JSON.parse(text) as ErrorBody).error;

/** The LAP code at the start of the message of an error. */
export const lapCodeOf = (received: Received): string => errorOf(received).message.split(":")[0] ?? "";

export interface ChatAnswer {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly message: { readonly role: string; readonly content: string; readonly refusal: null };
    readonly finish_reason: string;
    readonly logprobs: { readonly content: readonly { readonly token: string; readonly bytes: readonly number[] | null }[] } | null;
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
}

export interface CompletionAnswer {
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string | null;
    readonly logprobs: { readonly tokens: readonly string[]; readonly text_offset: readonly number[] } | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number } | null;
}

export interface ChatEvent {
  readonly id: string;
  readonly object: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: ChatAnswer["usage"] | null;
}
