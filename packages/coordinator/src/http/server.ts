import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { S3Access } from "@lapidary/data-store";
import { jsonText, LapidaryError } from "@lapidary/std";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { z } from "zod";
import {
  type Cancelled,
  type JobDetail,
  type JobList,
  jobQuerySchema,
  type LogsPage,
  logsQuerySchema,
  type MetricsPage,
  pageQuerySchema,
  type PipelineCancelled,
  type PipelineDetail,
  type PipelineSubmitted,
  type Report,
  reportSchema,
  type Resumed,
  resumeRequestSchema,
  shutdownRequestSchema,
  type Status,
  streamQuerySchema,
  type Submitted,
  submitPipelineSchema,
  submitRequestSchema,
} from "@lapidary/api";
import { readJournal, readMetrics, type Run, runFiles } from "@lapidary/telemetry/runs";
import { asLapidaryError, errorBody, httpStatus, noRequestError, readRequest, routeError, urlError } from "./errors.js";
import { sendEvents } from "./event-source.js";
import { guard, tokenCookie } from "./guard.js";
import { runsPage } from "./page.js";
import type { PageFiles } from "./page-files.js";
import type { Service } from "./service.js";

export interface ServerOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly token: string;
  /** Host names that the server answers for in addition to loopback names, in lower case. */
  readonly allowedHosts?: readonly string[];
  readonly service: Service;
  /** The dashboard. Without it the server shows a plain list of runs. */
  readonly page?: PageFiles;
  /** Whether to serve the routes of the page too (default). They load the compiler and the simulator. */
  readonly views?: boolean;
  /** The project's root, with `configs`. */
  readonly root?: string;
  /** The state directory, which knows the outputs of data pipelines. */
  readonly home?: string;
  /** For data pipelines that store their objects in an S3-compatible server. */
  readonly s3?: S3Access | undefined;
  /** Called with internal errors. */
  readonly onBug: (error: unknown) => void;
}

export interface HttpServer {
  readonly port: number;
  /** Ends all connections, open streams included. */
  close(): Promise<void>;
}

/** Maximum bytes of a request: a job file has at most 256 KiB. */
const bodyLimit = 1 << 20;

/**
 * Serves the API on the loopback interface.
 *
 * @throws LAP_PORT_TAKEN
 */
export async function serveHttp(options: ServerOptions): Promise<HttpServer> {
  const server = Fastify({
    logger: false,
    bodyLimit,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 128 },
    // Requests that are rejected before they have a route get an error of the same form.
    frameworkErrors: (error, request, reply) => {
      const own = urlError(request.url, error);
      void (reply as FastifyReply).code(httpStatus(own)).send({ error: own.toJSON() });
    },
    clientErrorHandler: (error, socket) => {
      if (error.code === "ECONNRESET" || socket.destroyed) return;
      const body = JSON.stringify({ error: noRequestError(error).toJSON() });
      if (socket.writable)
        socket.write(
          `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        );
      socket.destroy(error);
    },
  });
  let port = options.port;
  // Numbers that are not finite keep their names.
  server.setReplySerializer((payload) => jsonText(payload));
  server.removeContentTypeParser("text/plain");
  server.setErrorHandler((thrown, _, reply) => {
    const error = asLapidaryError(thrown);
    if (error.code === "LAP_INTERNAL") options.onBug(thrown);
    return reply.code(httpStatus(error)).send(errorBody(error));
  });
  server.setNotFoundHandler((request) => {
    throw routeError(request.method, request.url.split("?")[0] ?? "");
  });
  server.addHook("onSend", async (_, reply) => {
    // The handlers of pages set their own policy.
    if (reply.hasHeader("content-security-policy"))
      return void reply.headers({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" });
    reply.headers({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    });
  });
  guard(server, options.token, options.allowedHosts ?? []);
  addRoutes(server, options);
  if (options.views !== false) (await import("./view-routes.js")).addViewRoutes(server, options);
  try {
    await server.listen({ host: "127.0.0.1", port });
  } catch (cause) {
    if ((cause as { code?: string }).code !== "EADDRINUSE") throw cause;
    throw portTaken(port, cause);
  }
  const address = server.server.address();
  if (address !== null && typeof address === "object") port = address.port;
  return { port, close: () => server.close() };
}

function addRoutes(server: FastifyInstance, { service, token, page, onBug }: ServerOptions): void {
  const { runs } = service;
  const runOf = (request: { params: unknown }): Run => runs.get((request.params as { id: string }).id);

  server.get("/api/status", (): Status => service.status());
  server.post("/api/jobs", (request): Promise<Submitted> => service.submit(readRequest(submitRequestSchema, request.body, "body")));
  server.get("/api/jobs", (request): JobList => runs.list(readRequest(jobQuerySchema, request.query, "query")));
  server.get("/api/jobs/:id", (request): JobDetail => service.detail(runOf(request)));
  server.post("/api/jobs/:id/cancel", (request): Promise<Cancelled> => service.cancel(runOf(request).id));
  server.post(
    "/api/jobs/:id/resume",
    (request): Promise<Resumed> => service.resume(runOf(request).id, readRequest(resumeRequestSchema, request.body ?? undefined, "body")),
  );
  server.get("/api/jobs/:id/metrics", async (request): Promise<MetricsPage> => {
    const run = runOf(request);
    const { from, limit } = readRequest(pageQuerySchema, request.query, "query");
    const { rows, more, unreadable } = await readMetrics(run.directory, from, limit);
    return { metrics: rows, ...(unreadable > 0 ? { unreadable } : {}), ...(more ? { next_from: from + limit } : {}) };
  });
  server.get("/api/jobs/:id/logs", async (request): Promise<LogsPage> => {
    const run = runOf(request);
    const { from, limit, worker } = readRequest(logsQuerySchema, request.query, "query");
    const events = await readJournal(run.directory);
    const all = events.flatMap((event) =>
      event.event === "log" && (worker === undefined || event.data.source === `worker ${worker}`) ? [event.data] : [],
    );
    const lines = all.slice(from, from + limit);
    return { lines, ...(all.length > from + limit ? { next_from: from + limit } : {}) };
  });
  server.get("/api/jobs/:id/report", (request): Promise<Report> => readReport(runOf(request)));
  server.get("/api/jobs/:id/checkpoints", async (request) => ({ checkpoints: await service.checkpoints(runOf(request)) }));
  server.get("/api/jobs/:id/stream", async (request, reply) => {
    const run = runOf(request);
    const { follow } = readRequest(streamQuerySchema, request.query, "query");
    const after = readRequest(z.coerce.number().int().min(0), request.headers["last-event-id"] ?? 0, "Last-Event-ID");
    reply.hijack();
    await sendEvents(reply.raw, run, after, follow).catch(onBug);
  });
  const pipelineOf = (request: { params: unknown }): string => (request.params as { id: string }).id;
  server.post(
    "/api/pipelines",
    (request): Promise<PipelineSubmitted> => service.submitPipeline(readRequest(submitPipelineSchema, request.body, "body")),
  );
  server.get("/api/pipelines/:id", (request): PipelineDetail => service.pipeline(pipelineOf(request)));
  server.post("/api/pipelines/:id/cancel", (request): Promise<PipelineCancelled> => service.cancelPipeline(pipelineOf(request)));
  server.post("/api/shutdown", (request) => {
    readRequest(shutdownRequestSchema, request.body ?? undefined, "body");
    service.shutdown();
    return { stopping: true };
  });
  server.get("/", (request, reply) => {
    reply.type("text/html; charset=utf-8");
    if ((request.query as { token?: string }).token !== undefined)
      return (
        reply
          // Without `Path` the cookie is for the directory of the browser's address, and so is the redirect: a proxy may have removed a prefix.
          .header("set-cookie", `${tokenCookie(request.headers.host ?? "")}=${token}; HttpOnly; SameSite=Strict`)
          .redirect("./", 303)
      );
    if (page?.isBuilt === true) return page.send(reply, "index.html");
    return reply.send(runsPage(service.status(), runs.list({ limit: 200 }).jobs, Date.now()));
  });
}

async function readReport(run: Run): Promise<Report> {
  const path = join(run.directory, runFiles.report);
  if (!existsSync(path))
    throw new LapidaryError({
      code: "LAP_JOB_NO_REPORT",
      message: `job ${run.id} has no report: it is ${run.state}`,
      location: run.id,
      remedy:
        run.summary.finished_at === undefined ? `wait for it with \`lapidary jobs wait ${run.id}\`` : "only jobs that are done have one",
    });
  try {
    return reportSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_JOB_REPORT_UNREADABLE",
      message: `the report of job ${run.id} cannot be read: it is damaged, or another version of Lapidary wrote it`,
      location: path,
      remedy: `\`lapidary jobs events ${run.id}\` and \`lapidary logs ${run.id}\` show what happened; launch the job again for a report`,
      cause,
    });
  }
}

function portTaken(port: number, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_PORT_TAKEN",
    message: `another process listens on port ${port}`,
    location: `127.0.0.1:${port}`,
    cause,
  });
}
