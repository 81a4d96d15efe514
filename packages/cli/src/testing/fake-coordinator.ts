import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobDetail, Report, Status, StreamEvent } from "@lapidary/api";
import { encodeWorkerSteps, type WorkerStep } from "@lapidary/api/frames";
import { assert } from "@lapidary/std";

/** A job of the fake coordinator, which sends all events immediately. */
export interface FakeJob {
  readonly detail: JobDetail;
  readonly events: readonly StreamEvent[];
  readonly report?: Report;
  readonly workerSteps?: readonly WorkerStep[];
}

/** An HTTP server with the API of a coordinator, without Redis and workers. */
export interface FakeCoordinator {
  /** A state directory with a `coordinator.json` of this server. */
  readonly home: string;
  /** Bodies of the jobs that were submitted. */
  readonly submitted: readonly Readonly<Record<string, unknown>>[];
  close(): Promise<void>;
}

const token = "a-token-of-thirty-two-characters";

/** @param jobs a submission returns the first job */
export async function fakeCoordinator(jobs: readonly FakeJob[]): Promise<FakeCoordinator> {
  const home = mkdtempSync(join(tmpdir(), "lapidary-"));
  const submitted: Record<string, unknown>[] = [];
  const server = createServer((request, response) => void answer(jobs, submitted, request, response));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  assert(address !== null && typeof address === "object", "the server has a port");
  const connection = { pid: process.pid, port: address.port, token, version: "1.0.0", started_at: 0 };
  writeFileSync(join(home, "coordinator.json"), JSON.stringify(connection));
  return {
    home,
    submitted,
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
      rmSync(home, { recursive: true });
    },
  };
}

async function answer(
  jobs: readonly FakeJob[],
  submitted: Record<string, unknown>[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const send = (status: number, body: unknown): void =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (request.headers.authorization !== `Bearer ${token}`) return send(401, failure("LAP_HTTP_TOKEN", 3));
  if (pathname === "/api/status") return send(200, status);
  if (pathname === "/api/jobs" && request.method === "GET") return send(200, { jobs: jobs.map(({ detail }) => detail) });
  if (pathname === "/api/jobs") {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    submitted.push(JSON.parse(body) as Record<string, unknown>);
    return send(200, { id: jobs[0]?.detail.id, state: "queued", existed: false });
  }
  const [, , , id, what] = pathname.split("/");
  const job = jobs.find(({ detail }) => detail.id === id);
  if (job === undefined) return send(404, failure("LAP_JOB_UNKNOWN", 102));
  switch (what) {
    case undefined:
      return send(200, job.detail);
    case "report":
      return send(200, job.report);
    case "metrics":
      return send(200, { metrics: job.events.flatMap((event) => (event.event === "metrics" ? [event.data] : [])) });
    case "logs":
      return send(200, { lines: job.events.flatMap((event) => (event.event === "log" ? [event.data] : [])) });
    case "program":
      return send(404, failure("LAP_JOB_NO_PROGRAM", 101));
    case "worker-steps":
      return void response.writeHead(200).end(encodeWorkerSteps(2, job.workerSteps ?? []));
    case "cancel":
      return send(200, { id, state: "cancelled" });
    default:
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const { id: number, event, data } of job.events)
        response.write(`id: ${number}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      response.end();
  }
}

const failure = (code: string, exit: number): unknown => ({ error: { code, message: "no", place: "job", remedy: "yes", exit } });

const status: Status = {
  version: "1.0.0",
  pid: 1,
  port: 1,
  started_at: 0,
  home: "/home",
  redis: { address: "/redis.sock", connected: true },
  workers: [{ worker: 0, pid: 7, job: "a" }],
  pods: {
    name: "v5e-256",
    torus: "16x16",
    pods: 1,
    chips: 256,
    free_chips: 128,
    slices: [{ pod: 0, pods: 1, origin: [0, 0], dims: [8, 16], job: "a" }],
  },
  jobs: { queued: 0, compiling: 0, placing: 0, running: 1, done: 0, failed: 0, cancelled: 0 },
};
