import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { FakeEngineOptions } from "../testing/fake-engine.js";
import {
  type ChatAnswer,
  type ChatEvent,
  type CompletionAnswer,
  eventsOf,
  lapCodeOf,
  model,
  openServer,
  type TestServer,
} from "../testing/test-server.js";

describe("streams of the model server", () => {
  let opened: TestServer;
  const open = async (engine: FakeEngineOptions): Promise<void> => {
    await opened.server.close();
    opened = await openServer(engine, { newId: () => "1", clock: { now: () => 5_000, monotonic: () => 0 } });
  };
  const messages = [{ role: "user", content: "hi" }];
  const chat = async (fields: object): Promise<ChatEvent[]> => {
    const { status, text, headers } = await opened.post("/v1/chat/completions", { model, messages, stream: true, ...fields });
    strictEqual(status, 200);
    strictEqual(headers["content-type"], "text/event-stream; charset=utf-8");
    return eventsOf(text) as ChatEvent[];
  };
  const contentOf = (events: readonly ChatEvent[], index = 0): string =>
    events
      .flatMap(({ choices }) => choices)
      .filter((choice) => choice.index === index)
      .map(({ delta }) => delta.content ?? "")
      .join("");

  beforeEach(async () => {
    opened = await openServer();
  });
  afterEach(() => opened.server.close());

  it("a chat stream has the role, the pieces of the text, the finish reason and [DONE]", async () => {
    await open({ reply: () => "ab" });
    const event = (delta: object, finish_reason: string | null): object => ({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 5,
      model,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    });
    deepStrictEqual(await chat({}), [
      event({ role: "assistant", content: "" }, null),
      event({ content: "a" }, null),
      event({ content: "b" }, null),
      event({}, "stop"),
    ]);
  });

  it("the last event has the usage if the client asks for it", async () => {
    await open({ reply: () => "ab" });
    const events = await chat({ stream_options: { include_usage: true } });
    deepStrictEqual(events.at(-1)?.usage, { prompt_tokens: 21, completion_tokens: 2, total_tokens: 23 });
    deepStrictEqual(events.at(-1)?.choices, []);
    ok(events.slice(0, -1).every(({ usage }) => usage === null));
  });

  it("a completion stream has the echo, the pieces and the finish reason", async () => {
    await open({ reply: () => "ab" });
    const { text } = await opened.post("/v1/completions", { model, prompt: "p ", echo: true, stream: true, max_tokens: 1 });
    const choices = (eventsOf(text) as CompletionAnswer[]).flatMap((event) => event.choices);
    deepStrictEqual(
      choices.map((choice) => [choice.text, choice.finish_reason]),
      [
        ["p ", null],
        ["a", null],
        ["", "length"],
      ],
    );
  });

  it("characters of several tokens arrive whole", async () => {
    await open({ reply: () => "é😀" });
    const events = await chat({});
    deepStrictEqual(
      events.flatMap(({ choices }) => choices.map(({ delta }) => delta.content)),
      ["", "é", "😀", undefined],
    );
  });

  it("a stop string across tokens ends the stream, and the engine stops", async () => {
    await open({ reply: () => "one END two END" });
    const events = await chat({ stop: ["END", "never"] });
    strictEqual(contentOf(events), "one ");
    strictEqual(events.at(-1)?.choices[0]?.finish_reason, "stop");
    strictEqual(opened.engine.calls[0]?.[0]?.signal.aborted, true);
  });

  it("a text that begins like a stop string arrives at the end", async () => {
    await open({ reply: () => "one EN" });
    strictEqual(contentOf(await chat({ stop: "END" })), "one EN");
  });

  it("streams and whole answers have the same text", async () => {
    await open({ reply: (_, { sampling }) => `é${sampling.seed} 😀 END`, maxBatchRows: 3 });
    const fields = { n: 3, seed: 9, stop: "END" };
    const events = await chat(fields);
    const { text } = await opened.post("/v1/chat/completions", { model, messages, ...fields });
    for (const { index, message } of (JSON.parse(text) as ChatAnswer).choices) strictEqual(contentOf(events, index), message.content);
    deepStrictEqual(
      [0, 1, 2].map((i) => events.filter(({ choices }) => choices[0]?.index === i && choices[0].delta.role === "assistant").length),
      [1, 1, 1],
    );
  });

  it("log probabilities arrive with the text of their tokens", async () => {
    await open({ reply: () => "aé", maxTopLogprobs: 0 });
    const events = (await chat({ logprobs: true })) as unknown as {
      choices: { delta: { content?: string }; logprobs: { content: unknown[] } | null }[];
    }[];
    deepStrictEqual(
      events.map(({ choices }) => [choices[0]?.delta.content, choices[0]?.logprobs?.content.length]),
      [
        ["", undefined],
        ["a", 1],
        ["é", 2],
        [undefined, undefined],
      ],
    );
  });

  it("a request that is refused has a status and no stream", async () => {
    const refused = await opened.post("/v1/chat/completions", { model, messages, stream: true, n: 0 });
    deepStrictEqual([refused.status, lapCodeOf(refused)], [400, "LAP_HTTP_REQUEST"]);
  });

  it("a failure before the first token has a status, and a later one is the last event", async () => {
    let fails = false;
    await open({
      reply: () => "abcdef",
      beforeToken: async () => {
        if (fails) throw new Error("the pod is gone");
        fails = opened.engine.calls.length > 1;
      },
    });
    await chat({});
    const { status, text } = await opened.post("/v1/chat/completions", { model, messages, stream: true });
    strictEqual(status, 200);
    const last = text.split("\n\n").at(-2) ?? "";
    match(last, /^data: \{"error":\{"message":"LAP_INTERNAL: internal error: the pod is gone/);
    fails = true;
    strictEqual((await opened.post("/v1/chat/completions", { model, messages, stream: true })).status, 500);
    strictEqual(opened.failures.length, 2);
  });
});
