import { ok, strictEqual } from "node:assert/strict";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { LapidaryError, systemClock } from "@lapidary/std";
import { type FuzzTarget, hostileBytes, hostileText } from "@lapidary/std/testing";
import { hostileJob, jobText } from "@lapidary/training/testing";
import fc from "fast-check";
import { isFinal } from "@lapidary/api";
import { type Manifest, parseManifest, printManifest, readStepLog } from "@lapidary/checkpoint";
import { readEvents } from "@lapidary/api/client";
import { serveHttp } from "../http/server.js";
import type { Service } from "../http/service.js";
import { parseJob } from "../jobs.js";
import { RunStore } from "@lapidary/telemetry";
import { encodeChips, encodeWorkerSteps, FrameReader } from "@lapidary/api/frames";
import { newRun, trainRow } from "@lapidary/telemetry/testing";

export const manifest: Manifest = {
  format: "lapidary-checkpoint/1",
  run: "r",
  step: 12,
  epoch: 3,
  time: 1,
  mesh: "data=2",
  zero: 3,
  workers: 2,
  program: "p",
  ledger: "0".repeat(32),
  files: { "model.safetensors": { bytes: 4, sha256: "a".repeat(64), parts: [{ name: "w", bytes: 4, crc32: "00000000" }] } },
};

/** A reader either returns a manifest that prints to the same text, or rejects it. */
export const manifestFuzzTarget: FuzzTarget = {
  name: "manifests",
  property: fc.property(hostileText(fc.constant(printManifest(manifest))), (text) => {
    try {
      strictEqual(printManifest(parseManifest(text, "here")), text);
    } catch (error) {
      ok(error instanceof LapidaryError && error.code === "LAP_CHECKPOINT_DAMAGED", String(error));
    }
  }) as fc.IRawProperty<unknown>,
};

/** A step log of any text is read up to its first malformed line, without an error. */
export const stepLogFuzzTarget: FuzzTarget = {
  name: "step logs",
  property: fc.property(
    hostileText(fc.constant('{"attempt":1,"from":0,"layout":"l","digest":"0","rewinds":false,"crc":"00000000"}\n')),
    (text) => {
      const { commits, attempts } = readStepLog({ readText: () => text }, "/run");
      ok(commits.length === 0 && attempts.length === 0, "no line has a checksum that is right");
    },
  ) as fc.IRawProperty<unknown>,
};

/** From a stream, the page and the CLI read events and frames, or an error, and never more than was sent. */
export const streamFuzzTarget: FuzzTarget = {
  name: "streams",
  property: fc.asyncProperty(
    fc.oneof(
      hostileBytes(
        fc.constant(
          Buffer.from(
            `retry: 1000\n\nid: 1\nevent: metrics\ndata: ${JSON.stringify(trainRow(1))}\n\n: alive\n\nid: 2\nevent: done\ndata: {}\n\n`,
          ),
        ),
      ),
      hostileBytes(
        fc.constantFrom(
          encodeWorkerSteps(2, [{ step: 1, times: [1, 2].map((ms) => ({ total_ms: ms, gemm_ms: ms, other_ms: ms, wait_ms: ms })) }]),
          encodeChips({ worker: Uint16Array.of(0, 1, 1), hbm_bytes: Float32Array.of(1, 2, 3), sent_bytes: Float32Array.of(1, 2, 3) }),
        ),
      ),
    ),
    fc.integer({ min: 1, max: 64 }),
    async (bytes, piece) => {
      const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) => bytes.slice(i * piece, (i + 1) * piece));
      try {
        for await (const event of readEvents(ReadableStream.from(pieces))) ok(Number.isFinite(event.id));
      } catch (error) {
        ok(!(error instanceof TypeError || error instanceof RangeError), String(error));
      }
      const reader = new FrameReader();
      try {
        for (const each of pieces)
          for (const frame of reader.push(each))
            if (frame.kind === "worker steps")
              ok(frame.steps.length * frame.workers * 16 <= bytes.length, "a frame has no more numbers than bytes");
            else ok(frame.chips.worker.length * 10 <= bytes.length, "a frame has no more numbers than bytes");
      } catch (error) {
        ok(error instanceof Error && /^a frame cannot/.test(error.message), String(error));
      }
    },
  ) as fc.IRawProperty<unknown>,
};

const token = "0123456789abcdef0123456789abcdef";

/** HTTP requests of a client that has the token: paths, queries, headers, bodies, and the sockets of live connections. */
export interface HttpFuzzTargets {
  readonly targets: readonly FuzzTarget[];
  /** Fails if the server had an internal error, or does not answer. */
  close(): Promise<void>;
}

/**
 * @param directory for the runs
 * @param root of the project
 */
export async function openHttpFuzzTargets(directory: string, root: string): Promise<HttpFuzzTargets> {
  const runs = await RunStore.open(directory, systemClock);
  const { run } = runs.create(newRun({ exactly: "job" }));
  run.metrics(trainRow(1));
  const bugs: unknown[] = [];
  const service: Service = {
    runs,
    status: () => ({
      version: "0",
      pid: 1,
      port: 1,
      started_at: 1,
      home: directory,
      redis: { address: "x", connected: true },
      workers: [],
      jobs: runs.counts(),
    }),
    submit: async (request) => {
      parseJob(request, root);
      return { id: "job", state: run.state, existed: true, warnings: [] };
    },
    cancel: async (id) => ({ id, state: runs.get(id).state }),
    submitPipeline: async ({ like }) => ({ id: like, existed: false, jobs: [], warnings: [] }),
    pipeline: (id) => ({ id: runs.get(id).id, state: "queued", created_at: 0, jobs: [] }),
    cancelPipeline: async (id) => ({ id: runs.get(id).id, cancelled: [], running: [] }),
    resume: async (id) => ({ id, state: runs.get(id).state, from_step: 0, warnings: [] }),
    detail: (each) => ({ ...each.summary, job: each.identity.job, directory: each.directory }),
    checkpoints: async () => [],
    shutdown: () => undefined,
  };
  const server = await serveHttp({ port: 0, token, service, root, home: directory, onBug: (error) => bugs.push(error) });
  const agent = new Agent({ keepAlive: true });
  return {
    targets: [bodyFuzzTarget(server.port, agent, bugs), liveFuzzTarget(server.port, bugs)],
    async close() {
      const after = await send(server.port, agent, { method: "GET", path: "/api/status", headers: {}, body: "" });
      agent.destroy();
      await server.close();
      ok(!isFinal(run.state), "the run has not ended");
      runs.close();
      strictEqual(after.status, 200);
    },
  };
}

interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function send(port: number, agent: Agent, { method, path, headers, body }: FuzzRequest): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        agent,
        method,
        path,
        headers: { authorization: `Bearer ${token}`, "content-length": Buffer.byteLength(body), ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

const id = fc.oneof(
  { weight: 3, arbitrary: fc.constant("job") },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.string({ maxLength: 20 }), fc.constantFrom("..", "../x", "__proto__", "a".repeat(200), "%00"))
      .map(encodeURIComponent),
  },
);
const queryValue = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.constantFrom("-1", "1e9", "NaN", "9007199254740993", "[]", "0", "1", "true", ""),
);
const query = fc
  .dictionary(
    fc.constantFrom("from", "to", "points", "limit", "worker", "step", "after", "state", "follow", "text", "x", "__proto__"),
    queryValue,
    { maxKeys: 3 },
  )
  .map((pairs) => (Object.keys(pairs).length === 0 ? "" : `?${new URLSearchParams(Object.entries(pairs))}`));
const readPath = fc
  .tuple(
    id,
    fc.constantFrom(
      "",
      "/metrics",
      "/logs",
      "/report",
      "/checkpoints",
      "/snapshot",
      "/program",
      "/series",
      "/worker-steps",
      "/step-trace",
      "/log-lines",
      "/page.html",
      "/x",
    ),
    query,
  )
  .map(([run, what, query]) => `/api/jobs/${run}${what}${query}`);
const writePath = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("/api/jobs", "/api/validate") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("/api/jobs/job/cancel", "/api/jobs/job/resume", "/api/shutdown", "/api/jobs/no/resume", "/api/nothing"),
  },
);
const override = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom("zero=3", "train.steps=1e9", "__proto__.x=1", "model=../../etc/passwd"),
);
/** JSON bodies with fields of the schemas and any values. */
const fields = fc.record(
  {
    yaml: fc.oneof(hostileText(fc.constant(jobText)), fc.constant(jobText), fc.jsonValue({ maxDepth: 2 })),
    job: fc.oneof(hostileJob, fc.jsonValue({ maxDepth: 3 })),
    path: fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom("/etc/passwd", "../../x", "\0"), fc.jsonValue({ maxDepth: 1 })),
    base: fc.oneof(fc.string({ maxLength: 20 }), fc.constant("/")),
    overrides: fc.oneof(fc.array(override, { maxLength: 4 }), fc.jsonValue({ maxDepth: 2 })),
    name: fc.oneof(fc.string({ maxLength: 70 }), fc.constantFrom("../x", "CON", "__proto__", "a")),
    priority: fc.jsonValue({ maxDepth: 1 }),
    unknown: fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  { weight: 3, arbitrary: fields.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: hostileText(fc.constant(JSON.stringify({ yaml: jobText, overrides: ["zero=3"] }))) },
);
const contentType = fc.constantFrom(
  "application/json",
  "application/json",
  "application/json",
  "text/plain",
  "application/json; charset=x",
  "multipart/form-data",
  "",
);
const requests: fc.Arbitrary<FuzzRequest> = fc.oneof(
  { weight: 1, arbitrary: readPath.map((path) => ({ method: "GET", path, headers: {}, body: "" })) },
  {
    weight: 2,
    arbitrary: fc
      .record({ method: fc.constantFrom("POST", "POST", "POST", "PUT", "DELETE", "PATCH"), path: writePath, body, type: contentType })
      .map(({ type, ...rest }) => ({ ...rest, headers: { "content-type": type } })),
  },
);

const bodyFuzzTarget = (port: number, agent: Agent, bugs: unknown[]): FuzzTarget => ({
  name: "requests and bodies",
  property: fc.asyncProperty(requests, async (each) => {
    const { status, text } = await send(port, agent, each);
    const code = status < 400 ? undefined : (JSON.parse(text) as { error: { code?: unknown } }).error.code;
    ok(status < 400 || typeof code === "string", text);
    // This server has no page.
    ok(status < 500 || code === "LAP_PAGE_NOT_BUILT", text);
    strictEqual(bugs.length, 0, String(bugs[0]));
  }) as fc.IRawProperty<unknown>,
});

/** A WebSocket message of a client (RFC 6455): any opcode, any claimed length. */
const webSocketMessage = fc
  .record({
    first: fc.nat(255),
    claimed: fc.oneof(fc.nat(125), fc.constantFrom(126, 127)),
    masked: fc.boolean(),
    length: fc.bigInt(0n, 2n ** 64n - 1n),
    rest: fc.uint8Array({ maxLength: 100 }),
  })
  .map(({ first, claimed, masked, length, rest }) => {
    const wide = Buffer.alloc(8);
    wide.writeBigUInt64BE(length);
    const more = claimed === 126 ? wide.subarray(6) : claimed === 127 ? wide : Buffer.alloc(0);
    return Buffer.concat([Buffer.from([first, claimed | (masked ? 128 : 0)]), more, rest]);
  });

const printable = fc.string({ maxLength: 20, unit: "grapheme-ascii" });
const header = fc.oneof(
  fc.constantFrom(
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk",
    "accept: text/event-stream",
    "expect: 100-continue",
    "origin: http://evil.example",
  ),
  queryValue.map((value) => `last-event-id: ${value}`),
  printable.map((value) => `x-any: ${value}`),
  printable.map((value) => `cookie: ${value}`),
);
/** On a live connection a client sends only its request, so all bytes after the request are hostile. */
const liveCase = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({
        path: fc.oneof(
          fc.constant("/api/live"),
          fc.tuple(id, fc.constantFrom("live", "frames", "stream"), query).map(([run, what, more]) => `/api/jobs/${run}/${what}${more}`),
        ),
        headers: fc.array(header, { maxLength: 3 }),
        bearer: fc.constantFrom(token, token, token, token.slice(1), ""),
        then: fc.oneof(webSocketMessage, fc.uint8Array({ maxLength: 100 }), fc.constant(new Uint8Array())),
      })
      .map(({ path, headers, bearer, then }) => ({
        first: Buffer.from([`GET ${path} HTTP/1.1`, "host: HOST", `authorization: Bearer ${bearer}`, ...headers, "", ""].join("\r\n")),
        isWhole: true,
        then,
      })),
  },
  {
    weight: 1,
    arbitrary: hostileBytes(fc.constant(Buffer.from(`GET /api/live HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer ${token}\r\n\r\n`))).map(
      (first) => ({
        first,
        isWhole: false,
        then: new Uint8Array(),
      }),
    ),
  },
);

const liveFuzzTarget = (port: number, bugs: unknown[]): FuzzTarget => ({
  name: "live connections",
  property: fc.asyncProperty(liveCase, async ({ first, isWhole, then }) => {
    const answer = await converse(
      port,
      Buffer.from(Buffer.from(first).toString("latin1").replace("HOST", `127.0.0.1:${port}`), "latin1"),
      isWhole,
      then,
    );
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
    ok(answer === "" || (status !== undefined && status !== "101" && Number(status) < 500), answer.slice(0, 200));
    if (isWhole) ok(status !== undefined, "a whole request is answered");
    strictEqual(bugs.length, 0, String(bugs[0]));
  }) as fc.IRawProperty<unknown>,
});

/**
 * Sends `first`, and sends `then` after the answer to a whole request. Returns all bytes that the server sent until the connection was closed.
 */
function converse(port: number, first: Uint8Array, isWhole: boolean, then: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      if (isWhole) socket.write(first);
      else socket.end(first);
    });
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      if (answer === "" && isWhole) socket.end(then);
      if (answer.length < 1000) answer += text;
    });
    // A connection that the server resets is closed too.
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}
