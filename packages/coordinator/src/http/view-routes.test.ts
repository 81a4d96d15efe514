import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { once } from "node:events";
import { connect } from "node:net";
import Fastify from "fastify";
import { systemClock } from "@lapidary/std";
import type { Status } from "@lapidary/api";
import { RunStore, prometheusText } from "@lapidary/telemetry";
import { newRun, trainRow } from "@lapidary/telemetry/testing";
import { temporaryDirectory } from "@lapidary/std/testing";
import type { JobFiles, Snapshot, Validated } from "@lapidary/api/view-api";
import { recordedComparison } from "../testing/recorded-post-training.js";
import { openApi, routeDocs } from "./openapi.js";
import { type HttpServer, serveHttp } from "./server.js";
import type { Service } from "./service.js";
import { addViewRoutes } from "./view-routes.js";

const root = resolve(fileURLToPath(import.meta.url), "../../../../..");
const token = "0123456789abcdef0123456789abcdef";
const status: Status = {
  version: "1.2.3",
  pid: 1,
  port: 2,
  started_at: 3000,
  home: "/h",
  redis: { address: "r", connected: true },
  workers: [{ worker: 0, pid: 7 }],
  jobs: { queued: 0, compiling: 0, placing: 0, running: 1, done: 0, failed: 0, cancelled: 0 },
};

function serviceOver(runs: RunStore): Service {
  return {
    runs,
    status: () => status,
    submit: () => Promise.reject(new Error("not here")),
    cancel: () => Promise.reject(new Error("not here")),
    submitPipeline: () => Promise.reject(new Error("not here")),
    pipeline: () => {
      throw new Error("not here");
    },
    cancelPipeline: () => Promise.reject(new Error("not here")),
    resume: () => Promise.reject(new Error("not here")),
    detail: (run) => ({ ...run.summary, job: run.identity.job, directory: run.directory }),
    checkpoints: async () => [],
    shutdown: () => undefined,
  };
}

describe("the routes of the page", () => {
  const directory = temporaryDirectory();
  let runs: RunStore;
  let server: HttpServer;
  beforeEach(async () => {
    runs = await RunStore.open(directory(), systemClock);
    server = await serveHttp({
      port: 0,
      token,
      service: serviceOver(runs),
      root,
      home: directory(),
      onBug: (error) => process.stderr.write(String(error)),
    });
  });
  afterEach(async () => {
    await server.close();
    runs.close();
  });
  const send = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });

  it("the API document has every route, generated from the schemas", async () => {
    const seen: string[] = [];
    const probe = Fastify();
    probe.addHook(
      "onRoute",
      ({ method, url }) =>
        void seen.push(
          ...[method]
            .flat()
            .filter((each) => each !== "HEAD")
            .map((each) => `${each.toLowerCase()} ${url.replaceAll(/:(\w+)/g, "{$1}")}`),
        ),
    );
    addViewRoutes(probe, { service: serviceOver(runs), root });
    const documented = routeDocs.map(({ method, path }) => `${method} ${path}`);
    for (const route of seen) ok(documented.includes(route), `${route} is not documented`);
    const document = (await (await send("/api/openapi.json")).json()) as {
      openapi: string;
      paths: Record<string, Record<string, unknown>>;
    };
    strictEqual(document.openapi, "3.1.0");
    ok(JSON.stringify(openApi("1")).includes("heldout_loss"));
    // Every documented route exists.
    for (const { method, path } of routeDocs) {
      const response = await send(
        path.replace("{id}", "missing"),
        method === "post" ? { method: "POST", body: "{", headers: { "content-type": "application/json" } } : {},
      );
      const { error } = (response.headers.get("content-type") ?? "").includes("json")
        ? ((await response.json()) as { error?: { code?: string } })
        : {};
      ok(error?.code !== "LAP_HTTP_ROUTE", `${method} ${path} is documented and not there`);
      if (!response.bodyUsed) await response.body?.cancel();
    }
  });

  it("a snapshot and the stream after it contain each event once", async () => {
    const { run } = runs.create(newRun({ exactly: "first" }));
    run.enter("running");
    run.metrics(trainRow(1));
    const snapshot = (await (await send("/api/jobs/first/snapshot")).json()) as { last_id: number; series: { step: number[] } };
    deepStrictEqual(snapshot.series.step, [1]);
    const stream = await send(`/api/jobs/first/live?after=${snapshot.last_id}`);
    run.metrics(trainRow(2));
    run.finish("done");
    const text = await stream.text();
    deepStrictEqual(
      [...text.matchAll(/"step":(\d+)/g)].map(([, step]) => step),
      ["2"],
    );
    match(text, /event: end/);
  });

  it("a snapshot has the samples of a run and the comparison in its report, and no comparison in a damaged report", async () => {
    const { run } = runs.create(newRun({ exactly: "first" }));
    const completions = [{ prompt: "p", completion: "c", score: 1, finish_reason: "length" as const }];
    run.record({ type: "completions_sampled", step: 3, split: "heldout", completions });
    const get = async (): Promise<Snapshot> => (await (await send("/api/jobs/first/snapshot")).json()) as Snapshot;
    const write = (report: unknown): void => writeFileSync(join(run.directory, "report.json"), JSON.stringify(report));
    write({ ...recordedComparison, more: 1 });
    const { samples, comparison, report } = await get();
    deepStrictEqual(samples?.[0]?.completions, [{ completion: "c", score: 1, finish_reason: "length" }]);
    deepStrictEqual([comparison?.sets[0]?.result, report], [recordedComparison.sets[0]?.result, undefined]);
    write({ comparison: recordedComparison });
    strictEqual((await get()).comparison?.candidate.name, "tuned");
    write({ ...recordedComparison, sets: [{}] });
    strictEqual((await get()).comparison, undefined);
  });

  it("a subscriber of the list receives the whole list and then its changes", async () => {
    const { run } = runs.create(newRun({ exactly: "first" }));
    const response = await send("/api/live");
    const reader = response.body?.getReader();
    let text = "";
    const readUntil = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) {
        const piece = await reader?.read();
        if (piece === undefined || piece.done) throw new Error(`the stream ended before ${pattern}: ${text}`);
        text += new TextDecoder().decode(piece.value);
      }
    };
    await readUntil(/event: all\ndata: .*"id":"first"/);
    run.metrics(trainRow(1));
    await readUntil(/event: change\ndata: .*"step":1/);
    await reader?.cancel();
  });

  it("one stream has the events of several runs and of the list, and outlives each run", async () => {
    const [a, b] = ["first", "second"].map((exactly) => runs.create(newRun({ exactly })).run);
    const reader = (await send("/api/watch?run=first:0&run=second:0&run=absent:3")).body?.getReader();
    let text = "";
    const readUntil = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) {
        const piece = await reader?.read();
        if (piece === undefined || piece.done) throw new Error(`the stream ended before ${pattern}: ${text}`);
        text += new TextDecoder().decode(piece.value);
      }
    };
    await readUntil(/event: all\n.*"id":"first"/);
    await readUntil(/event: run\ndata: \{"id":"absent","kind":"end","error":\{"code":"LAP_JOB_UNKNOWN"/);
    a?.metrics(trainRow(1));
    a?.finish("done");
    await readUntil(/event: run\ndata: \{"id":"first","kind":"end"\}/);
    b?.metrics(trainRow(7));
    await readUntil(/event: run\ndata: \{"id":"second","kind":"events","events":\[.*"step":7/);
    await reader?.cancel();
    strictEqual((await send("/api/watch?run=first")).status, 400);
  });

  it("the server disconnects a viewer that does not read, and serves the others", async () => {
    const { run } = runs.create(newRun({ exactly: "first" }));
    run.enter("running");
    const viewer = connect(server.port, "127.0.0.1");
    viewer.on("error", () => undefined);
    viewer.write(`GET /api/jobs/first/live?after=0 HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\nauthorization: Bearer ${token}\r\n\r\n`);
    // The client has the head of the answer, and stops reading.
    await once(viewer, "data");
    viewer.pause();
    const other = (await send("/api/jobs/first/live?after=0")).body?.getReader();
    const decoder = new TextDecoder();
    let text = "";
    const receives = async (what: string): Promise<void> => {
      while (!text.includes(what)) {
        const piece = await other?.read();
        if (piece === undefined || piece.done) throw new Error(`the stream ended before ${what}`);
        text = text.slice(-200) + decoder.decode(piece.value, { stream: true });
      }
    };
    // More bytes than the kernel buffers for a reader that does not read.
    for (let round = 0; round < 8; round++) {
      for (let i = 0; i < 1500; i++) run.log("worker 0", "x".repeat(4000));
      run.log("worker 0", `round ${round} is over`);
      await receives(`round ${round} is over`);
    }
    run.finish("done");
    await receives("event: end");
    let tail = "";
    viewer.on("data", (piece: Buffer) => (tail = (tail + piece.toString("latin1")).slice(-100)));
    viewer.resume();
    await once(viewer, "close");
    ok(!tail.includes("event: end"), tail);
  });

  it("the server checks a job, and returns the line of a mistake", async () => {
    const check = async (yaml: string): Promise<{ status: number; body: { error?: { place?: string }; mesh?: string } }> => {
      const response = await send("/api/validate", {
        method: "POST",
        body: JSON.stringify({ yaml }),
        headers: { "content-type": "application/json" },
      });
      return { status: response.status, body: (await response.json()) as { error?: { place?: string }; mesh?: string } };
    };
    const { files } = (await (await send("/api/job-files")).json()) as { files: { name: string; text: string }[] };
    const nano = files.find(({ name }) => name === "nano16");
    strictEqual((await check(nano?.text ?? "")).body.mesh, "data=16,model=16");
    const wrong = await check((nano?.text ?? "").replace("zero:", "zeroo:"));
    strictEqual(wrong.status, 400);
    match(wrong.body.error?.place ?? "", /^job:\d+:\d+$/);
  });

  it("the server checks a pipeline with paths relative to its file, and names the line of a mistake", async () => {
    const post = async (path: string, body: unknown): Promise<{ status: number; body: Validated & { error?: { place?: string } } }> => {
      const response = await send(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
      return { status: response.status, body: (await response.json()) as Validated };
    };
    const { files } = (await (await send("/api/job-files")).json()) as JobFiles;
    const { text = "", path = "" } = files.find(({ name }) => name === "pipelines/two-stage") ?? {};
    const valid = await post("/api/validate", { yaml: text, path });
    deepStrictEqual(
      valid.body.jobs?.map(({ name, needs, chips }) => [name, needs, chips]),
      [
        ["base", [], 256],
        ["tuned", ["base"], 256],
      ],
    );
    match(valid.body.yaml, /^# base\nname: nano16/);
    const wrong = await post("/api/validate", { yaml: text.replace("needs: [base]", "needs: [bass]"), path });
    strictEqual(wrong.status, 400);
    match(wrong.body.error?.place ?? "", /^two-stage\.yaml:\d+:\d+$/);
    strictEqual((await post("/api/pipelines/launch", { yaml: "jobs: {}", path })).status, 400);
  });

  it("the server returns metrics in the format of Prometheus", async () => {
    const { run } = runs.create(newRun({ exactly: "first" }));
    run.metrics(trainRow(4));
    const text = await (await send("/metrics")).text();
    match(text, /^lapidary_jobs\{state="running"\} 1$/m);
    match(text, /^lapidary_job_step\{job="first",model="nano",state="queued"\} 4$/m);
    ok(prometheusText(status, [{ ...run.summary, model: 'a"b\\c\n' }], 0).includes('model="a\\"b\\\\c\\n"'));
  });
});
