import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { appendFileSync, mkdirSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { type StreamEvent, type Submitted, type TrainingReport, trainingReport } from "@lapidary/api";
import { CoordinatorClient } from "@lapidary/api/client";
import { isOfType, runEventsIn } from "@lapidary/api/run-events";
import { RunStore, prometheusText } from "@lapidary/telemetry";
import { newRun, steppingClock, trainRow } from "@lapidary/telemetry/testing";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type HttpServer, serveHttp } from "./server.js";
import type { Service } from "./service.js";

const token = "0123456789abcdef0123456789abcdef";

describe("the HTTP API", () => {
  const directory = temporaryDirectory();
  let runs: RunStore;
  let server: HttpServer;
  let client: CoordinatorClient;
  const bugs: unknown[] = [];

  const open = async (port = 0): Promise<void> => {
    const service: Service = {
      runs,
      status: () => ({
        version: "0",
        pid: 1,
        port: server.port,
        started_at: 1,
        home: directory(),
        redis: { address: "x", connected: true },
        workers: [],
        jobs: runs.counts(),
      }),
      submit: async ({ yaml, name }): Promise<Submitted> => {
        if (yaml === "bug") throw new TypeError("a bug");
        const { run, existed } = runs.create(newRun({ exactly: name ?? "job" }, { fingerprint: yaml ?? "" }));
        return { id: run.id, state: run.state, existed, warnings: [] };
      },
      submitPipeline: () => Promise.reject(new Error("not here")),
      pipeline: () => {
        throw new Error("not here");
      },
      cancelPipeline: () => Promise.reject(new Error("not here")),
      resume: () => Promise.reject(new Error("not here")),
      cancel: async (id) => {
        runs.get(id).finish("cancelled");
        return { id, state: runs.get(id).state };
      },
      detail: (run) => ({ ...run.summary, job: run.identity.job, directory: run.directory }),
      checkpoints: async () => [],
      shutdown: () => undefined,
    };
    server = await serveHttp({ port, token, service, onBug: (error) => bugs.push(error) });
    client = new CoordinatorClient({ port: server.port, token });
  };

  beforeEach(async () => {
    runs = await RunStore.open(join(directory(), "runs"), steppingClock());
    bugs.length = 0;
    await open();
  });
  afterEach(async () => {
    await server.close();
    runs.close();
  });

  /** A request of a hostile client. */
  const raw = (
    path: string,
    headers: Record<string, string>,
    method = "GET",
    body = "",
  ): Promise<{ status: number; body: string; headers: NodeJS.Dict<string | string[]> }> =>
    new Promise((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port: server.port, path, method, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
      });
      sent.once("error", reject);
      sent.end(body);
    });
  const bearer = { authorization: `Bearer ${token}` };
  const codeOf = (body: string): string => (JSON.parse(body) as { error: { code: string } }).error.code;

  it("the API sends numbers that are not finite in rows, events, summaries and reports", async () => {
    const { id } = await client.submit({ yaml: "x", name: "diverges" });
    const row = { ...trainRow(1), loss: Number.NaN, learning_rate: Infinity, eta_s: Infinity };
    runs.get(id).metrics(row);
    runs.get(id).writeReport({ ...report(id), train_loss: Number.NaN, heldout_loss: Infinity });
    runs.get(id).finish("failed");
    deepStrictEqual((await client.metrics(id)).metrics, [row]);
    const events: StreamEvent[] = [];
    for await (const event of client.stream(id)) events.push(event);
    deepStrictEqual(events.find(({ event }) => event === "metrics")?.data, row);
    strictEqual((await client.get(id)).loss, Number.NaN);
    const { train_loss, heldout_loss } = trainingReport(await client.report(id));
    deepStrictEqual([train_loss, heldout_loss], [Number.NaN, Infinity]);
    const { summary } = runs.get(id);
    const metrics = prometheusText(await client.status(), [{ ...summary, eta_s: Infinity }], summary.finished_at ?? 0);
    ok(metrics.includes('lapidary_job_loss_nats{job="diverges",model="nano",state="failed"} NaN'), metrics);
    ok(metrics.includes('lapidary_job_eta_seconds{job="diverges",model="nano",state="failed"} +Inf'), metrics);
  });

  for (const file of ["metrics.jsonl", "events.jsonl"])
    it(`a stream ends with its \`done\` if some lines of ${file} cannot be read`, async () => {
      const { id } = await client.submit({ yaml: "x", name: "damaged" });
      const run = runs.get(id);
      run.metrics(trainRow(1));
      run.log("worker 0", "hello");
      run.finish("done");
      appendFileSync(join(run.directory, file), "\u0000garbage\n{\n");
      const events: StreamEvent[] = [];
      for await (const event of client.stream(id)) events.push(event);
      strictEqual(events.at(-1)?.event, "done");
      const skipped = runEventsIn(events).events.filter(isOfType("journal_lines_skipped"));
      deepStrictEqual(
        skipped.map((lines) => [lines.file, lines.to_line - lines.from_line, lines.cause]),
        [[file, 1, "damaged"]],
      );
      ok((await client.logs(id)).lines.some(({ run_event }) => run_event?.type === "journal_lines_skipped"));
    });

  it("a stream ends with an error and its reason if the journal cannot be read at all", async () => {
    const { id } = await client.submit({ yaml: "x", name: "unreadable" });
    const run = runs.get(id);
    rmSync(join(run.directory, "metrics.jsonl"), { force: true });
    mkdirSync(join(run.directory, "metrics.jsonl"));
    await rejects(
      (async () => {
        for await (const _ of client.stream(id)) ok(_);
      })(),
      { code: "LAP_FILE_IS_DIRECTORY" },
    );
    rmSync(join(run.directory, "metrics.jsonl"), { recursive: true });
  });

  it("followers receive the end of a job even if the disk rejects its last event", async () => {
    const { id } = await client.submit({ yaml: "x", name: "full" });
    const run = runs.get(id);
    const events: string[] = [];
    run.listen(({ event }) => events.push(event));
    // A closed journal rejects every write, like a full disk.
    for (const name of ["events.jsonl", "metrics.jsonl"]) rmSync(join(run.directory, name));
    run.close();
    mkdirSync(join(run.directory, "events.jsonl"));
    const settled = run.settled;
    ok(run.finish("failed") !== undefined);
    await settled;
    strictEqual(run.state, "failed");
  });

  it("the client reports that a coordinator of another version answers", async () => {
    const other = createServer((_, response) => response.setHeader("content-type", "application/json").end('{"jobs":[{"id":5}]}'));
    await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
    try {
      const { port } = other.address() as { port: number };
      await rejects(new CoordinatorClient({ port, token }).list(), { code: "LAP_COORDINATOR_VERSION", exit: 3 });
    } finally {
      other.close();
    }
    await rejects(client.submit({ yaml: "x", ofALaterVersion: true } as never), { code: "LAP_COORDINATOR_VERSION" });
  });

  it("the server rejects requests without the token, for another host, or from another page", async () => {
    const answers = [
      await raw("/api/status", {}),
      await raw("/api/status", { authorization: "Bearer wrong" }),
      await raw("/api/status", { ...bearer, host: "evil.example" }),
      await raw("/api/status", { ...bearer, origin: "http://evil.example" }),
      await raw("/api/jobs", { cookie: `lapidary_token_${server.port}=${token}`, "content-type": "application/json" }, "POST", "{}"),
      await raw(`/api/status?token=${token}`, {}),
    ];
    deepStrictEqual(
      answers.map(({ status, body }) => [status, codeOf(body)]),
      [
        [401, "LAP_HTTP_TOKEN"],
        [401, "LAP_HTTP_TOKEN"],
        [403, "LAP_HTTP_HOST"],
        [403, "LAP_HTTP_ORIGIN"],
        [401, "LAP_HTTP_TOKEN"],
        [401, "LAP_HTTP_TOKEN"],
      ],
    );
    strictEqual((await raw("/api/status", bearer)).status, 200);
  });

  it("the server answers for every loopback name with any port, and for no other name", async () => {
    const statusOf = async (host: string): Promise<number> => (await raw("/api/status", { ...bearer, host })).status;
    const loopback = ["127.0.0.1:8765", "localhost:8765", "LocalHost:8765", "[::1]:8765", "127.0.1.1:9", "localhost", "127.0.0.1"];
    for (const host of loopback) strictEqual(await statusOf(host), 200, host);
    const foreign = [
      "127.0.0.1.evil.com",
      "localhost.evil.com:8765",
      "evil.com@127.0.0.1",
      "127.0.0.1:8765@evil.com",
      "127.evil.0.1",
      "128.0.0.1:8765",
      "127.0.0.256",
      "[::2]:8765",
      "localhost:8765:1",
    ];
    for (const host of foreign) strictEqual(await statusOf(host), 403, host);
  });

  it("the server accepts writes only from a page of the same host and port, and reads the cookie of the port in the browser's address", async () => {
    const { status, headers } = await raw(`/?token=${token}`, { host: "localhost:8765" });
    deepStrictEqual([status, headers.location], [303, "./"]);
    strictEqual(headers["set-cookie"]?.[0], `lapidary_token_8765=${token}; HttpOnly; SameSite=Strict`);
    const cookie = `lapidary_token_8765=${token}; lapidary_token_${server.port}=of-another-tunnel`;
    const write = async (host: string, origin: string): Promise<number> =>
      (await raw("/api/jobs/absent/cancel", { cookie, host, origin }, "POST")).status;
    strictEqual(await write("localhost:8765", "http://localhost:8765"), 404);
    strictEqual(await write("[::1]:8765", "http://[::1]:8765"), 404);
    strictEqual(await write("localhost:8765", "https://localhost:8765"), 404);
    for (const origin of ["http://localhost:3000", "http://127.0.0.1:8765", "http://localhost", "null", "http://evil.com", ""])
      strictEqual(await write("localhost:8765", origin), 403, origin);
    strictEqual((await raw("/api/status", { cookie, host: `localhost:${server.port}` })).status, 401);
  });

  it("a browser gets access by the URL with the token, and the page shows the runs", async () => {
    await client.submit({ yaml: "x", name: "first" });
    const { status, headers } = await raw(`/?token=${token}`, {});
    strictEqual(status, 303);
    const cookie = String(headers["set-cookie"]).split(";")[0] ?? "";
    const page = await raw("/", { cookie });
    ok(page.status === 200 && page.body.includes('href="api/jobs/first"') && !page.body.includes(token));
    strictEqual((await raw("/api/jobs/first", { cookie })).status, 200);
  });

  it("the server answers malformed requests with an error that has a code, and continues", async () => {
    const json = { ...bearer, "content-type": "application/json" };
    const answers = [
      await raw("/api/jobs", json, "POST", "{"),
      await raw("/api/jobs", json, "POST", '{"yaml":"x","path":"y"}'),
      await raw("/api/jobs", json, "POST", '{"yaml":"x","unknown":1}'),
      await raw("/api/jobs", json, "POST", '{"yaml":"x","name":"../x"}'),
      await raw("/api/jobs", json, "POST", JSON.stringify({ yaml: "x".repeat(2 << 20) })),
      await raw("/api/jobs/..%2f..%2fetc", bearer),
      await raw("/api/jobs?limit=0", bearer),
      await raw("/nowhere", bearer),
      await raw("/api/jobs", { ...bearer, "content-type": "text/plain" }, "POST", "x"),
    ];
    deepStrictEqual(
      answers.map(({ status }) => status),
      [400, 400, 400, 400, 413, 404, 400, 404, 400],
    );
    ok(answers.every(({ body }) => /^LAP_/.test(codeOf(body))));
    deepStrictEqual(bugs, []);
    strictEqual((await raw("/api/jobs", json, "POST", '{"yaml":"bug"}')).status, 500);
    strictEqual(bugs.length, 1);
    await client.status();
  });

  it("the client throws the error of the coordinator", async () => {
    await rejects(
      client.get("absent"),
      (error) => error instanceof LapidaryError && error.code === "LAP_JOB_UNKNOWN" && error.exit === 102,
    );
    await client.submit({ yaml: "x", name: "a" });
    await rejects(client.submit({ yaml: "y", name: "a" }), { code: "LAP_JOB_NAME_TAKEN" });
    await rejects(client.report("a"), { code: "LAP_JOB_NO_REPORT", exit: 101 });
    strictEqual((await client.submit({ yaml: "x", name: "a" })).existed, true);
  });

  it("the client reports that no coordinator answers if the port is closed or belongs to another server", async () => {
    await server.close();
    await rejects(client.status(), { code: "LAP_COORDINATOR_DOWN", exit: 3 });
    await open();
  });

  it("the server rejects a port that is taken", async () => {
    await rejects(open(server.port), { code: "LAP_PORT_TAKEN", exit: 1 });
  });

  it("the API returns metrics and logs in pages, of one worker or of all", async () => {
    const run = runs.get((await client.submit({ yaml: "x" })).id);
    for (const step of [1, 2, 3]) run.metrics(trainRow(step));
    run.log("worker 0", "a");
    run.log("worker 1", "b");
    deepStrictEqual(await client.metrics(run.id, { from: 1, limit: 1 }), { metrics: [trainRow(2)], next_from: 2 });
    deepStrictEqual(
      (await client.logs(run.id)).lines.map(({ line }) => line),
      ["a", "b"],
    );
    deepStrictEqual(
      (await client.logs(run.id, { worker: 1 })).lines.map(({ line }) => line),
      ["b"],
    );
    const detail = await client.get(run.id);
    deepStrictEqual([detail.step, detail.loss, detail.directory], [3, trainRow(3).loss, run.directory]);
  });

  it("a stream sends a run to its end, and continues where it was interrupted", async () => {
    const run = runs.get((await client.submit({ yaml: "x" })).id);
    run.metrics(trainRow(1));
    const seen: StreamEvent[] = [];
    const { port } = server;
    for await (const event of client.stream(run.id)) {
      seen.push(event);
      if (event.id === 2) {
        // The coordinator is stopped and started again.
        await server.close();
        run.metrics(trainRow(2));
        await open(port);
        run.metrics(trainRow(3));
      }
      if (event.id === 4) run.finish("done");
    }
    deepStrictEqual(
      seen.map(({ id, event }) => [id, event]),
      [
        [1, "state"],
        [2, "metrics"],
        [3, "metrics"],
        [4, "metrics"],
        [5, "done"],
      ],
    );
    const again: number[] = [];
    for await (const { id } of client.stream(run.id, { after: 3 })) again.push(id);
    deepStrictEqual(again, [4, 5]);
    for await (const event of client.stream(run.id, { after: 5 })) ok(false, `nothing follows done: ${event.id}`);
  });

  it("a stream ends without an error when its reader aborts", async () => {
    const run = runs.get((await client.submit({ yaml: "x" })).id);
    const stop = new AbortController();
    for await (const event of client.stream(run.id, { signal: stop.signal })) {
      strictEqual(event.event, "state");
      stop.abort();
    }
    run.metrics(trainRow(1));
    strictEqual((await client.cancel(run.id)).state, "cancelled");
  });
});

const report = (id: string): TrainingReport => ({
  id,
  model: "nano",
  parameters: 1,
  chips: 256,
  workers: 2,
  mesh: "data=16,model=16",
  slice: { pod: 0, pods: 1, origin: [0, 0], dims: [16, 16] },
  zero: 3,
  steps: 1,
  tokens: 1,
  train_loss: 1,
  heldout_loss: 1,
  unigram_loss: 1,
  sample: { prompt: "", text: "" },
  checkpoint: "/x",
  bytes_per_chip: { params: 1, optimizer: 1, gradients: 1 },
  collectives: [],
  timings_ms: { prepare: 1, compile: 1, place: 1, load: 1, train: 1, evaluate: 1, checkpoint: 1, sample: 1, total: 1 },
  tokens_per_s: 1,
  warnings: [],
});
