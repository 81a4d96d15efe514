import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { connect } from "node:net";
import { type ChatAnswer, type CompletionAnswer, errorOf, lapCodeOf, model, openServer, type TestServer } from "../testing/test-server.js";
import type { FakeEngineOptions } from "../testing/fake-engine.js";
import { serveModel } from "./serve-model.js";

const user = (content: unknown): object => ({ role: "user", content });

describe("the endpoints of the model server", () => {
  let opened: TestServer;
  const open = async (engine: FakeEngineOptions = {}, options: Parameters<typeof openServer>[1] = {}): Promise<void> => {
    await opened.server.close();
    opened = await openServer(engine, options);
  };
  const chat = (fields: object): ReturnType<TestServer["post"]> =>
    opened.post("/v1/chat/completions", { model, messages: [user("hi")], ...fields });
  const complete = (fields: object): ReturnType<TestServer["post"]> => opened.post("/v1/completions", { model, prompt: "ab", ...fields });

  beforeEach(async () => {
    opened = await openServer();
  });
  afterEach(async () => {
    await opened.server.close();
    deepStrictEqual(opened.failures, []);
  });

  it("GET /v1/models lists the model, and GET /v1/models/ID returns it with and without an encoded slash", async () => {
    const entry = { id: model, object: "model", created: 1_700_000_000, owned_by: "lapidary" };
    const list = await opened.send("GET", "/v1/models");
    deepStrictEqual([list.status, JSON.parse(list.text)], [200, { object: "list", data: [entry] }]);
    for (const path of ["/v1/models/org/fake", "/v1/models/org%2Ffake?x=1"])
      deepStrictEqual(JSON.parse((await opened.send("GET", path)).text), entry);
    const other = await opened.send("GET", "/v1/models/other");
    deepStrictEqual([other.status, errorOf(other).code, lapCodeOf(other)], [404, "model_not_found", "LAP_SERVE_MODEL"]);
    strictEqual((await opened.send("GET", "/v1/models/%ff")).status, 400);
  });

  it("GET /health returns the model and the load", async () => {
    const { status, text } = await opened.send("GET", "/health");
    deepStrictEqual([status, JSON.parse(text)], [200, { status: "ok", model, waiting: 0, running: 0 }]);
  });

  it("a chat completion has one message, its finish reason and the usage", async () => {
    await open({ reply: () => "hello" }, { newId: () => "1", clock: { now: () => 5_900, monotonic: () => 0 } });
    const { status, text, headers } = await chat({ max_tokens: 10 });
    strictEqual(status, 200);
    match(headers["content-type"] ?? "", /^application\/json/);
    deepStrictEqual(JSON.parse(text), {
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 5,
      model,
      choices: [{ index: 0, message: { role: "assistant", content: "hello", refusal: null }, logprobs: null, finish_reason: "stop" }],
      usage: { prompt_tokens: 21, completion_tokens: 5, total_tokens: 26 },
    });
  });

  it("a text completion has 16 tokens by default", async () => {
    await open({ reply: () => "0123456789abcdefghij" });
    const { choices, usage } = JSON.parse((await complete({})).text) as CompletionAnswer;
    deepStrictEqual(choices, [{ index: 0, text: "0123456789abcdef", logprobs: null, finish_reason: "length" }]);
    deepStrictEqual(usage, { prompt_tokens: 3, completion_tokens: 16, total_tokens: 19 });
  });

  it("the chat template receives text parts as one text, and developer messages as system messages", async () => {
    await open({ reply: (prompt) => prompt });
    const parts = [
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ];
    const { text } = await chat({ messages: [{ role: "developer", content: "s" }, user(parts)] });
    strictEqual((JSON.parse(text) as ChatAnswer).choices[0]?.message.content, "<system>s\n<user>ab\n<assistant>");
  });

  it("a client can repeat the message of an earlier answer", async () => {
    const { choices } = JSON.parse((await chat({})).text) as ChatAnswer;
    const earlier = { ...choices[0]?.message, annotations: [], tool_calls: null };
    strictEqual((await chat({ messages: [user("a"), earlier, user("b")] })).status, 200);
  });

  it("a request without max_tokens continues to the end of the context", async () => {
    await open({ contextLength: 30, reply: () => "x".repeat(100) });
    const { choices, usage } = JSON.parse((await chat({})).text) as ChatAnswer;
    deepStrictEqual([choices[0]?.finish_reason, usage.total_tokens], ["length", 30]);
  });

  it("the engine receives the sampling of the request, and defaults for absent and null fields", async () => {
    await open({}, { randomSeed: () => 77 });
    await chat({ temperature: 0.5, top_p: 0.9, top_k: 3, seed: 5, max_completion_tokens: 7 });
    await chat({ temperature: null, seed: null, user: "u", metadata: { a: "b" }, stop: null });
    await chat({ seed: -1 });
    const rows = opened.engine.calls.flat();
    deepStrictEqual(
      rows.map(({ sampling }) => sampling),
      [
        { temperature: 0.5, top_p: 0.9, top_k: 3, seed: 5 },
        { temperature: 1, top_p: 1, seed: 77 },
        { temperature: 1, top_p: 1, seed: 4294967295 },
      ],
    );
    strictEqual(rows[0]?.maxTokens, 7);
  });

  it("n choices and lists of prompts have ordered choices, and the same seeds for each prompt", async () => {
    await open({ maxBatchRows: 3, reply: (prompt, { sampling }) => `${prompt}/${sampling.seed % 1000}` });
    const answer = JSON.parse((await complete({ prompt: ["a", "b"], n: 2, seed: 4 })).text) as CompletionAnswer;
    const [first, second] = answer.choices.map(({ text }) => text.slice(2));
    deepStrictEqual(
      answer.choices.map(({ index, text }) => [index, text]),
      [
        [0, "a/4"],
        [1, `a/${second}`],
        [2, "b/4"],
        [3, `b/${second}`],
      ],
    );
    ok(first !== second);
    strictEqual(answer.usage?.prompt_tokens, 4);
  });

  it("completions accept token ids and lists of them, and refuse ids outside of the vocabulary", async () => {
    const texts = async (prompt: unknown): Promise<string[]> =>
      (JSON.parse((await complete({ prompt, echo: true, max_tokens: 1 })).text) as CompletionAnswer).choices.map(({ text }) => text);
    deepStrictEqual(await texts([97, 98]), ["aba"]);
    deepStrictEqual(await texts([[97], [98, 99]]), ["aa", "bcb"]);
    deepStrictEqual(await texts("xy"), ["xyx"]);
    const bad = await complete({ prompt: [97, 999] });
    deepStrictEqual([bad.status, errorOf(bad).param], [400, "prompt"]);
    strictEqual((await complete({ prompt: [97, "a"] })).status, 400);
  });

  it("log probabilities have the form of each endpoint, without tokens after a stop string", async () => {
    await open({ maxTopLogprobs: 5, reply: () => "aé." });
    const { choices } = JSON.parse((await chat({ logprobs: true, top_logprobs: 1, stop: "." })).text) as ChatAnswer;
    deepStrictEqual(choices[0]?.logprobs, {
      content: [
        { token: "a", logprob: -0.5, bytes: [97], top_logprobs: [{ token: "a", logprob: -0.5, bytes: [97] }] },
        { token: "\ufffd", logprob: -0.5, bytes: null, top_logprobs: [{ token: "C", logprob: -0.5, bytes: [67] }] },
        { token: "\ufffd", logprob: -0.5, bytes: null, top_logprobs: [{ token: ")", logprob: -0.5, bytes: [41] }] },
      ],
      refusal: null,
    });
    const completion = JSON.parse((await complete({ logprobs: 2, max_tokens: 2 })).text) as CompletionAnswer;
    deepStrictEqual(completion.choices[0]?.logprobs, {
      tokens: ["a", "\ufffd"],
      token_logprobs: [-0.5, -0.5],
      top_logprobs: [
        { a: -0.5, b: -1.5 },
        { C: -0.5, D: -1.5 },
      ],
      text_offset: [0, 1],
    });
  });

  it("an engine without log probabilities refuses them", async () => {
    const refused = await chat({ logprobs: true });
    deepStrictEqual([refused.status, errorOf(refused).code, errorOf(refused).param], [400, "unsupported_parameter", "logprobs"]);
  });

  it("a prompt that does not fit in the context is context_length_exceeded", async () => {
    await open({ contextLength: 24 });
    for (const fields of [{ messages: [user("a".repeat(40))] }, { max_tokens: 4 }]) {
      const refused = await chat(fields);
      deepStrictEqual(
        [refused.status, errorOf(refused).code, errorOf(refused).param, errorOf(refused).type],
        [400, "context_length_exceeded", "messages", "invalid_request_error"],
      );
    }
    strictEqual((await chat({ max_tokens: 3 })).status, 200);
  });

  it("a model without a chat template refuses chats and completes texts", async () => {
    await open({ hasChat: false });
    const refused = await chat({});
    deepStrictEqual([refused.status, lapCodeOf(refused)], [400, "LAP_SERVE_NO_CHAT"]);
    strictEqual((await complete({})).status, 200);
  });

  it("a dialogue that the template rejects is an error of messages", async () => {
    const refused = await chat({ messages: [user("a"), { role: "system", content: "s" }] });
    deepStrictEqual([refused.status, errorOf(refused).param, lapCodeOf(refused)], [400, "messages", "LAP_SERVE_PROMPT"]);
  });

  it("the server refuses requests without the token, for another host, or from another page", async () => {
    const bearer = { authorization: "Bearer wrong" };
    const refused = [
      await opened.send("GET", "/health", undefined, { authorization: "" }),
      await opened.send("GET", "/v1/models", undefined, bearer),
      await opened.send("POST", "/v1/completions", {}, bearer),
      await opened.send("GET", "/v1/models", undefined, { host: "evil.example" }),
      await opened.send("GET", "/v1/models", undefined, { origin: "http://evil.example" }),
      await opened.send("GET", "/v1/models", undefined, { host: "127.0.0.1.evil.example:80" }),
    ];
    deepStrictEqual(
      refused.map((each) => [each.status, errorOf(each).code]),
      [
        [401, "invalid_api_key"],
        [401, "invalid_api_key"],
        [401, "invalid_api_key"],
        [403, "LAP_HTTP_HOST"],
        [403, "LAP_HTTP_ORIGIN"],
        [403, "LAP_HTTP_HOST"],
      ],
    );
    for (const host of ["localhost:1", "[::1]", `127.0.0.1:${opened.server.port}`])
      strictEqual((await opened.send("GET", "/health", undefined, { host, origin: `http://${host}` })).status, 200);
  });

  it("the server answers for an allowed host", async () => {
    await open({}, { allowedHosts: ["hub.example"] });
    strictEqual((await opened.send("GET", "/health", undefined, { host: "hub.example:443" })).status, 200);
  });

  it("unknown routes, methods, media types and malformed bodies have their status", async () => {
    const json = { "content-type": "application/json" };
    const path = "/v1/completions";
    const refused = [
      await opened.send("GET", "/nowhere"),
      await opened.send("GET", "/__proto__"),
      await opened.send("GET", path),
      await opened.send("POST", "/v1/models", {}),
      await opened.send("POST", path, "{}", { "content-type": "text/plain" }),
      await opened.send("POST", path, "{}", {}),
      await opened.send("POST", path, "{}", { "content-type": "application/json; charset=latin1" }),
      await opened.send("POST", path, "{}", { ...json, "content-encoding": "gzip" }),
      await opened.send("POST", path, "{", json),
      await opened.send("POST", path, Buffer.from([0x22, 0xff, 0x22]), json),
      await opened.send("POST", path, "[]", json),
      await opened.send("POST", path, `"${"x".repeat(2 << 20)}"`, json),
      await opened.send("POST", path, `"${"x".repeat(2 << 20)}"`, { ...json, "transfer-encoding": "chunked" }),
    ];
    deepStrictEqual(
      refused.map(({ status }) => status),
      [404, 404, 405, 405, 415, 415, 415, 415, 400, 400, 400, 413, 413],
    );
    ok(refused.every((each) => /^LAP_[A-Z_]+$/.test(lapCodeOf(each)) && errorOf(each).type === "invalid_request_error"));
  });

  it("bytes that are not HTTP have an error with a code", async () => {
    const socket = connect(opened.server.port, "127.0.0.1");
    socket.setEncoding("utf8").end("NOT HTTP\r\n\r\n");
    let text = "";
    for await (const piece of socket) text += piece;
    match(text, /^HTTP\/1\.1 400 .*"code":"invalid_value"/s);
  });

  it("requests that a client pipelines are answered in their order", async () => {
    const head = (path: string): string =>
      `GET ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${"0123456789abcdef".repeat(2)}\r\n`;
    const socket = connect(opened.server.port, "127.0.0.1");
    socket.setEncoding("utf8").write(`${head("/health")}\r\n${head("/nowhere")}\r\n${head("/v1/models")}connection: close\r\n\r\n`);
    let text = "";
    for await (const piece of socket) text += piece;
    deepStrictEqual(
      [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
      ["200", "404", "200"],
    );
  });

  it("a failure of the engine is a server error, and the server continues", async () => {
    let fails = true;
    await open({
      reply: () => {
        if (fails) throw new TypeError("a bug");
        return "ok";
      },
    });
    const failed = await chat({});
    deepStrictEqual([failed.status, errorOf(failed).type, lapCodeOf(failed)], [500, "server_error", "LAP_INTERNAL"]);
    strictEqual(opened.failures.splice(0).length, 1);
    fails = false;
    strictEqual((await chat({})).status, 200);
  });

  it("serveModel reports a port that is taken", async () => {
    const { port } = opened.server;
    const error = await serveModel({ port, token: "t", engine: opened.engine, onFailure: () => undefined }).catch(
      (thrown: unknown) => thrown,
    );
    strictEqual((error as { code?: string }).code, "LAP_PORT_TAKEN");
  });
});
