import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { type FakeEngineOptions, longTokenId, longTokenText } from "../testing/fake-engine.js";
import { type ChatEvent, eventsOf, model, openServer, type Received, type TestServer, token } from "../testing/test-server.js";
import type { SetTimer } from "./answer.js";
import type { ServeLimits } from "./serve-model.js";

const idle = { requests: 0, waitingRows: 0, runningRows: 0, calls: 0 };
const path = "/v1/completions";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A promise that the test resolves. */
function newGate(): { readonly gate: Promise<void>; readonly release: () => void } {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  return { gate, release: () => release() };
}

/** Waits for an event of the process itself, such as a closed connection. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/** Sockets, servers and timers that keep the process alive. */
function openResources(): string {
  const kinds = ["TCPSocketWrap", "TCPServerWrap", "Timeout"];
  const open = process.getActiveResourcesInfo();
  return kinds.map((kind) => `${kind} ${open.filter((each) => each === kind).length}`).join(", ");
}

/** Closed sockets are released some turns of the event loop later. */
async function resourcesAfterClose(expected: string): Promise<string> {
  for (let i = 0; i < 1000 && openResources() !== expected; i++) await nextTurn();
  return openResources();
}

/** Timers that a test expires. */
class FakeTimers {
  readonly armed = new Set<() => void>();
  readonly set: SetTimer = (_, act) => {
    this.armed.add(act);
    return () => void this.armed.delete(act);
  };
  expireAll(): void {
    for (const act of [...this.armed]) {
      this.armed.delete(act);
      act();
    }
  }
}

describe("clients of the model server", () => {
  let opened: TestServer;
  let timers: FakeTimers;
  let before: string;
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.name);

  const open = async (engine: FakeEngineOptions, limits: Partial<ServeLimits> = {}): Promise<void> => {
    opened = await openServer(engine, { setTimer: timers.set, limits });
  };
  const ask = (prompt: string, fields: object = {}): object => ({ model, prompt, max_tokens: 4000, stream: true, ...fields });

  /** Sends a request on a socket that stops reading after the first bytes of the answer. */
  const stopReading = async (body: object): Promise<Socket> => {
    const text = JSON.stringify(body);
    const socket = connect(opened.server.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    await once(socket, "data");
    socket.pause();
    return socket;
  };

  beforeEach(async () => {
    // After an await, as in the hook after the test: mocha has a timer of its own then.
    await nextTurn();
    before = openResources();
    timers = new FakeTimers();
    warnings.length = 0;
    process.on("warning", onWarning);
  });

  /** After each test nothing of it is left: no request, row, timer, listener, connection or server. */
  afterEach(async () => {
    await until(() => opened.server.activity().requests === 0 && opened.server.activity().calls === 0);
    deepStrictEqual(opened.server.activity(), idle);
    strictEqual(timers.armed.size, 0);
    strictEqual(opened.engine.running, 0);
    for (const { signal } of opened.engine.calls.flat()) strictEqual(getEventListeners(signal, "abort").length, 0);
    await opened.server.close();
    strictEqual(await resourcesAfterClose(before), before);
    process.off("warning", onWarning);
    deepStrictEqual([warnings, opened.failures], [[], []]);
  });

  it("50 clients at once receive their own texts, and later batches are full", async () => {
    const { gate, release } = newGate();
    await open({ maxBatchRows: 8, beforeToken: () => gate });
    const prompts = Array.from({ length: 50 }, (_, i) => `client ${i} é😀`);
    const received = Promise.all(
      prompts.map(async (prompt) => {
        const { text } = await opened.post(path, ask(prompt));
        return (eventsOf(text) as { choices: { text: string }[] }[]).map(({ choices }) => choices[0]?.text).join("");
      }),
    );
    await until(() => opened.server.activity().waitingRows + opened.server.activity().runningRows === 50);
    release();
    deepStrictEqual(await received, prompts);
    ok(opened.engine.calls.length <= 8, `${opened.engine.calls.length} calls`);
  });

  it("more clients than the limit are refused with status 429, and the others are served", async () => {
    const { gate, release } = newGate();
    await open({ beforeToken: () => gate }, { maxWaitingRows: 10 });
    const refused: Received[] = [];
    const received = Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const answer = await opened.post(path, ask(`client ${i}`));
        if (answer.status === 429) refused.push(answer);
        return answer;
      }),
    );
    // One text is computed and 10 wait, unless all 30 arrive before the first is computed.
    await until(() => refused.length >= 19);
    release();
    const answers = await received;
    ok(refused.length <= 20, `${refused.length} are refused`);
    ok(refused.every(({ headers, text }) => headers["retry-after"] === "1" && text.includes("rate_limit_exceeded")));
    ok(answers.filter(({ status }) => status === 200).every(({ text }) => text.endsWith("data: [DONE]\n\n")));
  });

  it("a client that stops reading is disconnected when too many bytes wait, and others continue", async () => {
    let sent = 0;
    const reply = (prompt: string): string | number[] => (prompt === "endless" ? new Array<number>(4000).fill(longTokenId) : prompt);
    const beforeToken = async (): Promise<void> => {
      sent++;
      await nextTurn();
    };
    await open({ maxConcurrentCalls: 2, reply, beforeToken }, { maxUnsent_bytes: 1 << 20 });
    const socket = await stopReading(ask("endless"));
    const { text } = await opened.post(path, ask("other"));
    ok(text.endsWith("data: [DONE]\n\n"));
    await until(() => opened.engine.aborted === 1);
    // The system buffers some megabytes for the connection.
    ok(sent * longTokenText.length < 64 << 20, `${sent} tokens`);
    socket.destroy();
  });

  for (const stream of [true, false])
    it(`a client that does not read its ${stream ? "stream" : "whole answer"} is disconnected after a time`, async () => {
      const reply = (): number[] => new Array<number>(300).fill(longTokenId);
      await open({ reply }, { maxUnsent_bytes: Number.POSITIVE_INFINITY });
      const socket = await stopReading(ask("x", { stream }));
      await until(() => timers.armed.size === 1);
      strictEqual(opened.server.activity().requests, 1);
      timers.expireAll();
      await until(() => opened.server.activity().requests === 0);
      socket.destroy();
    });

  it("a client that reads again before the time ends receives the whole answer", async () => {
    const reply = (): number[] => new Array<number>(300).fill(longTokenId);
    await open({ reply }, { maxUnsent_bytes: Number.POSITIVE_INFINITY });
    const socket = await stopReading(ask("x"));
    await until(() => timers.armed.size === 1);
    let tail = "";
    socket.setEncoding("latin1").on("data", (piece: string) => (tail = (tail + piece).slice(-40)));
    socket.resume();
    await until(() => tail.includes("[DONE]"));
    await until(() => timers.armed.size === 0);
    socket.destroy();
  });

  for (const stream of [true, false])
    it(`the engine sees at once that the client of a ${stream ? "stream" : "whole answer"} disconnected`, async () => {
      let tokens = 0;
      const beforeToken = async (): Promise<void> => {
        tokens++;
        await nextTurn();
      };
      await open({ reply: () => "x".repeat(4000), beforeToken });
      const sent = opened.start(path, ask("x", { stream }));
      sent.on("error", () => undefined);
      sent.on("response", (response) => response.on("error", () => undefined));
      await until(() => tokens > 5);
      sent.destroy();
      await until(() => opened.engine.aborted === 1);
      ok(tokens < 4000, `${tokens} tokens`);
    });

  it("a client that disconnects while it waits is never computed", async () => {
    const { gate, release } = newGate();
    await open({ beforeToken: () => gate });
    const first = opened.post(path, ask("first"));
    await until(() => opened.engine.calls.length === 1);
    const second = opened.start(path, ask("second", { n: 5 }));
    second.on("error", () => undefined);
    await until(() => opened.server.activity().waitingRows === 5);
    second.destroy();
    await until(() => opened.server.activity().waitingRows === 0);
    release();
    strictEqual((await first).status, 200);
    strictEqual(opened.engine.calls.length, 1);
  });

  it("a client that disconnects in the middle of its body leaves nothing", async () => {
    await open({});
    const socket = connect(opened.server.port, "127.0.0.1");
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
    );
    await until(() => opened.server.activity().requests === 1);
    socket.destroy();
    await until(() => opened.server.activity().requests === 0);
  });

  it("the other rows of a batch continue after one client disconnected", async () => {
    const { gate, release } = newGate();
    await open({ maxBatchRows: 2, reply: (prompt) => prompt.repeat(1000), beforeToken: () => gate.then(nextTurn) });
    const before = opened.post(path, ask("x"));
    await until(() => opened.engine.calls.length === 1);
    const stays = opened.post(path, ask("ab"));
    const leaves = opened.start(path, ask("cd"));
    leaves.on("error", () => undefined);
    await until(() => opened.server.activity().waitingRows === 2);
    release();
    const [response] = (await once(leaves, "response")) as [IncomingMessage];
    response.on("error", () => undefined);
    await once(response, "data");
    leaves.destroy();
    const events = eventsOf((await stays).text) as { choices: { text: string }[] }[];
    strictEqual(events.map(({ choices }) => choices[0]?.text).join(""), "ab".repeat(1000));
    deepStrictEqual([opened.engine.aborted, opened.engine.calls.map(({ length }) => length)], [1, [1, 2]]);
    strictEqual((await before).status, 200);
  });

  it("50 clients that disconnect leave nothing, and the server continues", async () => {
    await open({ maxBatchRows: 4, reply: () => "x".repeat(4000) });
    const clients = Array.from({ length: 50 }, (_, i) => opened.start(path, ask(`client ${i}`, { n: 1 + (i % 3) })));
    for (const client of clients) client.on("error", () => undefined);
    await until(() => opened.server.activity().requests === 50 && opened.engine.calls.length > 0);
    for (const client of clients) client.destroy();
    await until(() => opened.server.activity().requests === 0);
    strictEqual((await opened.post(path, ask("after", { max_tokens: 3 }))).status, 200);
  });

  it("100 requests on one connection add no listeners to it", async () => {
    await open({});
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<Socket>();
    for (let i = 0; i < 100; i++) {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const sent = request({ host: "127.0.0.1", port: opened.server.port, agent, method: "POST", path, headers });
      sent.end(JSON.stringify(ask("a", { stream: i % 2 === 0 })));
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      sockets.add(response.socket);
      response.resume();
      await once(response, "end");
    }
    strictEqual(sockets.size, 1);
    agent.destroy();
  });

  it("a client that pipelines more than 16 requests is disconnected", async () => {
    const { gate, release } = newGate();
    await open({ beforeToken: () => gate });
    const socket = connect(opened.server.port, "127.0.0.1");
    socket.on("error", () => undefined);
    const text = JSON.stringify(ask("a"));
    const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n`;
    socket.write(`${head}content-length: ${text.length}\r\n\r\n${text}`.repeat(17));
    await once(socket, "close");
    release();
  });

  it("bytes after a request that are not HTTP close the connection and abort the request", async () => {
    const { gate, release } = newGate();
    await open({ beforeToken: () => gate });
    const sent = opened.start(path, ask("a"));
    sent.on("error", () => undefined);
    await until(() => opened.engine.calls.length === 1);
    sent.socket?.write("garbage\r\n\r\n");
    await until(() => opened.server.activity().requests === 0);
    release();
    await until(() => opened.engine.aborted === 1);
  });

  it("close ends streams and waiting requests with LAP_SERVE_STOPPED", async () => {
    let tokens = 0;
    const beforeToken = async (): Promise<void> => {
      tokens++;
      await nextTurn();
    };
    await open({ reply: () => "x".repeat(4000), beforeToken });
    const streams = ["first", "second"].map((prompt) => opened.post(path, ask(prompt)));
    await until(() => tokens > 5 && opened.server.activity().waitingRows === 1);
    await Promise.all([opened.server.close(), opened.server.close()]);
    strictEqual(opened.engine.running, 0);
    const [first, second] = await Promise.all(streams);
    match(first?.text ?? "", /data: \{"error":\{"message":"LAP_SERVE_STOPPED: .*\}\n\n$/);
    strictEqual(second?.status, 503);
    strictEqual(await opened.send("GET", "/health").catch((error: { code: string }) => error.code), "ECONNREFUSED");
  });

  it("close ends a client that sends no request, or half of one", async () => {
    await open({});
    const clients = ["", "GET /health HTTP/1.1\r\n", `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n`].map(
      (text) => {
        const socket = connect(opened.server.port, "127.0.0.1", () => socket.write(text));
        socket.on("error", () => undefined).resume();
        return once(socket, "close");
      },
    );
    strictEqual((await opened.send("GET", "/health")).status, 200);
    await opened.server.close();
    await Promise.all(clients);
  });

  it("clients with different texts in one batch receive the events of their own stream only", async () => {
    await open({ maxBatchRows: 16 });
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, i) =>
        opened.post("/v1/chat/completions", { model, stream: true, messages: [{ role: "user", content: `${i}` }] }),
      ),
    );
    const ids = answers.map(({ text }) => new Set((eventsOf(text) as ChatEvent[]).map(({ id }) => id)));
    ok(ids.every((each) => each.size === 1));
    strictEqual(new Set(ids.flatMap((each) => [...each])).size, 16);
  });
});
