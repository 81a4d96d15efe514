import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hubTokenizerFiles } from "@lapidary/data/testing/hub-tokenizer";
import { Home, type Running } from "./support/cli.js";
import { openAiModule } from "./support/openai.js";

interface SampledText {
  readonly prompt: string;
  readonly seed: number;
  readonly text: string;
  readonly tokens: number;
  readonly end: string;
}

interface Sampled {
  readonly prompt: string;
  readonly text: string;
  readonly texts: readonly SampledText[];
  readonly tokens_per_s: number;
}

interface Answer {
  readonly choices: readonly { readonly text?: string; readonly message?: { readonly content: string }; readonly finish_reason: string }[];
  readonly usage: { readonly completion_tokens: number };
  readonly error?: { readonly code: string };
}

/** A model server, and its client. */
class Served {
  readonly url: string;
  readonly token: string;

  private constructor(
    readonly running: Running,
    readonly model: string,
    { url, token }: { readonly url: string; readonly token: string },
  ) {
    this.url = url;
    this.token = token;
  }

  static async start(home: Home, model: string, ...options: string[]): Promise<Served> {
    const running = home.start("serve", model, "--json", ...options);
    await running.says(/served until Ctrl-C/);
    return new Served(running, model, JSON.parse(running.stdout) as { url: string; token: string });
  }

  post(path: string, body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<Response> {
    return fetch(`${this.url}/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: JSON.stringify({ model: this.model, ...body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async ask(path: string, body: Readonly<Record<string, unknown>>): Promise<Answer> {
    return (await (await this.post(path, body)).json()) as Answer;
  }

  async chat(content: string, options: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const answer = await this.ask("chat/completions", { messages: [{ role: "user", content }], max_tokens: 8, ...options });
    return answer.choices[0]?.message?.content ?? JSON.stringify(answer);
  }

  async health(): Promise<{ readonly waiting: number; readonly running: number }> {
    const response = await fetch(this.url.replace("/v1", "/health"), { headers: { authorization: `Bearer ${this.token}` } });
    return (await response.json()) as { waiting: number; running: number };
  }

  unauthorized(): Promise<Response> {
    return fetch(`${this.url}/models`);
  }
}

/** The text of a stream of chat events. */
async function streamedText(response: Response): Promise<string> {
  const events = (await response.text()).split("\n\n").filter((event) => event !== "");
  strictEqual(events.pop(), "data: [DONE]");
  return events
    .map((event) => JSON.parse(event.slice("data: ".length)) as { choices: { delta: { content?: string } }[] })
    .map(({ choices }) => choices[0]?.delta.content ?? "")
    .join("");
}

describe("generation for users", function () {
  this.timeout(240_000);
  const home = new Home();

  before(async () => {
    const tokenizer = join(home.directory, "tokenizer");
    mkdirSync(tokenizer);
    for (const [name, text] of Object.entries(hubTokenizerFiles)) writeFileSync(join(tokenizer, name), text);
    await home.json("up");
    await home.json("launch", home.job, "--name", "chatty", `data.tokenizer=${tokenizer}`, "model.context_length=96", "train.steps=60");
    await home.json("launch", home.job, "--name", "plain", "train.steps=3");
    // Samples and the server need no coordinator.
    await home.json("down");
  });
  after(() => home.clear());

  const servers: Served[] = [];
  const serve = async (...args: readonly [string, ...string[]]): Promise<Served> => {
    const served = await Served.start(home, ...args);
    servers.push(served);
    return served;
  };
  afterEach(async () => {
    for (const { running } of servers.splice(0)) {
      if (running.child.exitCode === null) running.pressCtrlC();
      await running.ended;
    }
  });

  const sample = async (...args: string[]): Promise<Sampled> => (await home.json("sample", ...args)) as unknown as Sampled;

  it("`sample` writes several texts for each prompt, and the text of a seed does not depend on the other texts", async () => {
    const options = ["--max-tokens", "12", "--temperature", "1", "--top-k", "3"];
    const many = await sample("chatty", "the chip", "links", "", "--n", "3", "--seed", "5", ...options);
    deepStrictEqual(
      many.texts.map(({ prompt, seed }) => [prompt, seed]),
      ["the chip", "links", ""].flatMap((prompt, p) => [0, 1, 2].map((i) => [prompt, 5 + 3 * p + i])),
    );
    deepStrictEqual([many.prompt, many.text], ["the chip", many.texts[0]?.text]);
    ok(many.tokens_per_s > 0 && many.texts.every(({ tokens, end }) => tokens === 12 || end === "stop"));
    for (const { prompt, seed, text } of [many.texts[4], many.texts[8]].map((each) => each ?? { prompt: "", seed: 0, text: "" }))
      strictEqual((await sample("chatty", prompt, "--seed", `${seed}`, ...options)).text, text);
  });

  it("`sample --chat` needs a tokenizer with tokens for turns", async () => {
    const answered = await sample("chatty", "Hello", "--chat", "--tokens", "6", "--top-k", "1");
    strictEqual(answered.texts.length, 1);
    const { code, stderr } = await home.run("sample", "plain", "Hello", "--chat");
    strictEqual(code, 2);
    match(stderr, /LAP_EXAMPLE_TURN_TOKENS/);
  });

  it("`serve` answers chats and completions, whole and as streams, to many clients together, and nothing is left after Ctrl-C", async () => {
    const served = await serve("chatty");
    strictEqual((await served.unauthorized()).status, 401);
    const whole = await served.chat("Hello", { seed: 3 });
    const body = { messages: [{ role: "user", content: "Hello" }], max_tokens: 8, seed: 3, stream: true };
    strictEqual(await streamedText(await served.post("chat/completions", body)), whole);
    const completion = await served.ask("completions", {
      prompt: "the chip",
      max_tokens: 12,
      seed: 5,
      top_k: 3,
      temperature: 1,
      top_p: 0.95,
    });
    const sampled = await sample("chatty", "the chip", "--seed", "5", "--top-k", "3", "--temperature", "1", "--tokens", "12");
    strictEqual(completion.choices[0]?.text, sampled.text);

    const clients = Array.from({ length: 50 }, (_, i) => ({
      content: `client ${i % 10}`,
      options: { seed: i % 5, max_tokens: 4 + (i % 7) },
    }));
    const answers = await Promise.all(clients.map(({ content, options }) => served.chat(content, options)));
    for (const i of [0, 17, 49]) strictEqual(answers[i], await served.chat(clients[i]?.content ?? "", clients[i]?.options ?? {}));

    // Half of the clients close their connections during the answer.
    const long = { messages: [{ role: "user", content: "Go on" }], max_tokens: 60, stream: true };
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const stop = new AbortController();
        const response = await served.post("chat/completions", { ...long, seed: i }, stop.signal);
        const reader = response.body?.getReader();
        await reader?.read();
        if (i % 2 === 0) return stop.abort();
        while ((await reader?.read())?.done === false);
      }),
    );
    while ((await served.health()).running > 0);
    strictEqual(await served.chat("Hello", { seed: 3 }), whole);

    const interrupted = served.post("chat/completions", { ...long, max_tokens: 60, n: 8 });
    await interrupted.then((response) => response.body?.getReader().read());
    served.running.pressCtrlC();
    const { code, stderr } = await served.running.ended;
    deepStrictEqual([code, home.processes()], [0, []], stderr);
  });

  it("the npm package `openai` lists models, chats, completes, streams, stops a stream and reads typed errors", async () => {
    const { OpenAI } = await openAiModule();
    const served = await serve("chatty");
    const client = new OpenAI({ baseURL: served.url, apiKey: served.token, maxRetries: 0 });
    deepStrictEqual(
      (await client.models.list()).data.map(({ id }) => id),
      ["chatty"],
    );
    const body = { model: "chatty", messages: [{ role: "user", content: "Hello" }], max_tokens: 8, seed: 3 };
    const whole = await client.chat.completions.create(body);
    strictEqual(whole.choices[0]?.message.content, await served.chat("Hello", { seed: 3 }));
    ok(whole.usage.completion_tokens <= 8);
    let streamed = "";
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true }))
      streamed += choices[0]?.delta.content ?? "";
    strictEqual(streamed, whole.choices[0]?.message.content);
    const { choices } = await client.completions.create({ model: "chatty", prompt: ["the chip", "links"], max_tokens: 4, temperature: 0 });
    deepStrictEqual(
      choices.map(({ finish_reason }) => ["length", "stop"].includes(finish_reason)),
      [true, true],
    );
    const long = await client.chat.completions.create({ ...body, max_tokens: 60, n: 8, stream: true });
    for await (const _ of long) {
      long.controller.abort();
      break;
    }
    while ((await served.health()).running > 0);
    await rejects(client.chat.completions.create({ ...body, max_tokens: -1 }), { status: 400, code: "invalid_value" });
    await rejects(new OpenAI({ baseURL: served.url, apiKey: "wrong", maxRetries: 0 }).models.list(), { status: 401 });
  });

  it("a model without tokens for turns answers completions, and chats with a typed error", async () => {
    const served = await serve("plain", "--batch", "2");
    strictEqual((await served.ask("chat/completions", { messages: [{ role: "user", content: "Hi" }] })).error?.code, "LAP_SERVE_NO_CHAT");
    const { choices, usage } = await served.ask("completions", { prompt: ["the", "a", "links"], max_tokens: 3, temperature: 0 });
    strictEqual(choices.length, 3);
    ok(usage.completion_tokens <= 9);

    const [worker] = home.processes().filter((line) => !line.includes("lapidary.mjs"));
    process.kill(Number(worker?.split(" ")[0]), "SIGKILL");
    const { code, stderr } = await served.running.ended;
    match(stderr, /LAP_WORKER_LOST/);
    deepStrictEqual([code !== 0, home.processes()], [true, []]);
  });
});
