import { ok, strictEqual } from "node:assert/strict";
import { Agent, request } from "node:http";
import { type FuzzTarget, hostileText } from "@lapidary/std/testing";
import fc from "fast-check";
import { serveModel } from "../http/serve-model.js";
import { FakeEngine } from "./fake-engine.js";
import { eventsOf, model, token } from "./test-server.js";

/** Requests of a client that has the token. */
export interface ServingFuzzTarget {
  readonly target: FuzzTarget;
  /** Fails if the server had an internal error, does not answer, or has requests left. */
  close(): Promise<void>;
}

/** Any JSON value, mostly small. */
const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(null, 0, 1, -1, 1e999, 2 ** 53, "", [], {}, "\ud800", "__proto__"),
);
/** A valid value, or any value. */
const mostly = <T>(valid: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 40, arbitrary: valid }, { weight: 1, arbitrary: anything });

const text = fc.string({ maxLength: 20, unit: "binary" });
const stopText = fc.constantFrom("a", "ab", "\n\n", "😀", "é", "x".repeat(1024));
const common = {
  model: mostly(fc.constant(model)),
  stream: mostly(fc.boolean()),
  stream_options: mostly(fc.record({ include_usage: mostly(fc.boolean()) }, { requiredKeys: [] })),
  n: mostly(fc.integer({ min: 1, max: 3 })),
  max_tokens: mostly(fc.integer({ min: 1, max: 30 })),
  temperature: mostly(fc.double({ min: 0, max: 2, noNaN: true })),
  top_p: mostly(fc.double({ min: 0, max: 1, noNaN: true })),
  top_k: mostly(fc.integer({ min: 1, max: 9 })),
  seed: mostly(fc.maxSafeInteger()),
  stop: mostly(fc.oneof(stopText, fc.array(stopText, { maxLength: 4 }))),
  user: anything,
  logit_bias: mostly(fc.constant({})),
  frequency_penalty: mostly(fc.constant(0)),
};
const part = fc.record({ type: mostly(fc.constantFrom("text", "text", "text", "text", "image_url")), text: mostly(text) });
const message = fc.record({
  role: mostly(fc.constantFrom("user", "user", "user", "assistant", "assistant", "system", "developer", "tool")),
  content: mostly(fc.oneof(text, fc.array(part, { maxLength: 3 }))),
});
const ids = fc.array(fc.integer({ min: 0, max: 256 }), { minLength: 1, maxLength: 9 });

/** A body with some fields left out and an unknown field now and then. */
const bodyOf = (fields: Record<string, fc.Arbitrary<unknown>>, required: readonly string[]): fc.Arbitrary<object> =>
  fc
    .tuple(fc.record(fields, { requiredKeys: [...required] }), fc.option(fc.tuple(fc.string({ maxLength: 5 }), anything), { freq: 6 }))
    .map(([body, more]) => (more === null ? body : { ...body, [more[0]]: more[1] }));

const chat = bodyOf(
  {
    ...common,
    messages: mostly(fc.array(message, { minLength: 1, maxLength: 3 })),
    tools: mostly(fc.constant([])),
    response_format: mostly(fc.constant({ type: "text" })),
    logprobs: mostly(fc.boolean()),
    top_logprobs: mostly(fc.integer({ min: 0, max: 3 })),
  },
  ["model", "messages"],
);
const completion = bodyOf(
  {
    ...common,
    prompt: mostly(fc.oneof(text, ids, fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(ids, { minLength: 1, maxLength: 3 }))),
    echo: mostly(fc.boolean()),
    logprobs: mostly(fc.integer({ min: 0, max: 3 })),
  },
  ["model", "prompt"],
);

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  readonly body: string;
}

const posted = (path: string, body: fc.Arbitrary<object>): fc.Arbitrary<Sent> =>
  fc.oneof(body, body, hostileText(body.map((each) => JSON.stringify(each)))).map((each) => ({
    method: "POST",
    path,
    type: "application/json",
    body: typeof each === "string" ? each : JSON.stringify(each),
  }));

const anyRequest: fc.Arbitrary<Sent> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"),
  path: fc.oneof(
    fc.constantFrom("/health", "/v1/models", "/v1/models/", "/v1/models/org/fake", "/v1/chat/completions", "/v1/completions/", "//", "/?"),
    fc.webPath().map((path) => (path.startsWith("/") ? path : `/${path}`)),
    fc.constantFrom("/v1/models/%", "/v1/models/%ff", "/v1/models/__proto__", "/__proto__", "/constructor"),
  ),
  type: fc.constantFrom("application/json", "text/plain", "", "application/json; charset=x", "multipart/form-data"),
  body: fc.oneof(fc.constant(""), fc.json({ maxDepth: 2 })),
});

const sent = fc.oneof(
  { weight: 4, arbitrary: posted("/v1/chat/completions", chat) },
  { weight: 4, arbitrary: posted("/v1/completions", completion) },
  { weight: 1, arbitrary: anyRequest },
);

/** Each request has an answer of its form, or an error in the form of OpenAI, and never an internal error. */
export async function openServingFuzzTarget(): Promise<ServingFuzzTarget> {
  const failures: unknown[] = [];
  const engine = new FakeEngine({ contextLength: 128, maxBatchRows: 4, maxTopLogprobs: 3 });
  const server = await serveModel({ port: 0, token, engine, onFailure: (error) => failures.push(error) });
  const agent = new Agent({ keepAlive: true });
  return {
    target: {
      name: "requests to a served model",
      property: fc.asyncProperty(sent, async (each) => {
        const { status, text: received } = await send(server.port, agent, each);
        engine.calls.length = 0;
        strictEqual(failures.length, 0, String(failures[0]));
        if (each.method === "HEAD") return;
        if (status !== 200) checkError(status, received);
        else if (received.startsWith("data: ")) ok(eventsOf(received).length > 0);
        else ok(typeof JSON.parse(received) === "object");
      }) as fc.IRawProperty<unknown>,
    },
    async close() {
      const { status } = await send(server.port, agent, { method: "GET", path: "/health", type: "", body: "" });
      agent.destroy();
      await server.close();
      strictEqual(status, 200);
      const { requests, waitingRows, runningRows, calls } = server.activity();
      strictEqual(requests + waitingRows + runningRows + calls, 0, "nothing is left");
    },
  };
}

function checkError(status: number, received: string): void {
  ok(status >= 400 && status < 500, received);
  const { error } = JSON.parse(received) as { error: Readonly<Record<string, unknown>> };
  strictEqual(Object.keys(error).join(), "message,type,param,code", received);
  ok(/^LAP_[A-Z_]+: /.test(String(error.message)) && typeof error.code === "string", received);
  ok(error.param === null || typeof error.param === "string", received);
}

function send(port: number, agent: Agent, { method, path, type, body }: Sent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, "content-length": Buffer.byteLength(body), "content-type": type };
    const outgoing = request({ host: "127.0.0.1", port, agent, method, path, headers }, (response) => {
      let received = "";
      response.setEncoding("utf8").on("data", (piece: string) => (received += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: received }));
    });
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}
