import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { S3Access } from "@lapidary/data-store";
import { LapidaryError } from "@lapidary/std";
import type { FastifyInstance } from "fastify";
import { isFinal, reportSchema } from "@lapidary/api";
import { jobFileYaml } from "@lapidary/api/job-file";
import {
  type Run,
  runFiles,
  chipArrays,
  RunStreams,
  runMessageText,
  type WatchedRun,
  findLogLines,
  OverviewFeed,
  prometheusText,
  programFile,
  readProgramView,
  readSeries,
} from "@lapidary/telemetry";
import {
  liveQuerySchema,
  type LogPage,
  logQuerySchema,
  rangeQuerySchema,
  type RecordedStep,
  type Snapshot,
  stepQuerySchema,
  watchQuerySchema,
} from "@lapidary/api/view-api";
import { comparisonOf } from "@lapidary/api/comparison";
import { newTrainSeries } from "@lapidary/api/train-series";
import { exportPage } from "./export-page.js";
import { encodeChips, encodeWorkerSteps } from "@lapidary/api/frames";
import { stepTraceAt } from "@lapidary/api/step-traces";
import { readWorkerSteps } from "@lapidary/api/worker-steps";
import { asLapidaryError, readRequest } from "./errors.js";
import { addDataRoutes } from "./data-routes.js";
import { addLaunchRoutes } from "./launch-routes.js";
import { openApi } from "./openapi.js";
import { noPage, type PageFiles } from "./page-files.js";
import type { Service } from "./service.js";

/** Default number of runs in one page of the list. */
const overviewRuns = 200;
const snapshotPoints = 800;

export interface ViewOptions {
  readonly service: Service;
  readonly page?: PageFiles | undefined;
  /** The project's root, with `configs`. */
  readonly root?: string | undefined;
  /** The state directory. */
  readonly home?: string | undefined;
  /** For data pipelines that store their objects in an S3-compatible server. */
  readonly s3?: S3Access | undefined;
  /** Called with errors that have no request. */
  readonly onBug?: (error: unknown) => void;
}

/** The routes of `view-api.ts`. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: a list of routes, one entry each
export function addViewRoutes(server: FastifyInstance, { service, page, root, home, s3, onBug }: ViewOptions): void {
  const hub = new RunStreams(onBug);
  const overview = new OverviewFeed({ status: () => service.status(), jobs: () => service.runs.list({ limit: overviewRuns }).jobs });
  server.addHook("preClose", async () => {
    hub.close();
    overview.close();
  });
  const runOf = (request: { params: unknown }): Run => service.runs.get((request.params as { id: string }).id);
  const watched = (run: Run): WatchedRun => ({ id: run.id, directory: run.directory, isFinal: () => isFinal(run.state) });
  const firstFrames = (run: Run): Uint8Array[] => {
    const view = readProgramView(run.directory);
    const workers = service.detail(run).workers?.length ?? readWorkerSteps(run.directory, 0, 1, 2).workers;
    return view === undefined ? [] : [encodeChips(chipArrays(view, workers))];
  };
  const snapshotOf = (run: Run): Snapshot => {
    const history = hub.history(watched(run));
    const report = join(run.directory, runFiles.report);
    return {
      last_id: history.lastId,
      job: service.detail(run),
      series: history.series.toJson(snapshotPoints) as Snapshot["series"],
      evals: history.evals,
      states: history.states,
      logs: history.logs,
      log_count: history.logCount,
      run_events: history.runEvents,
      ...(history.samples.samples.length === 0 ? {} : { samples: [...history.samples.samples] }),
      yaml: jobFileYaml(run.directory),
      has_program: existsSync(programFile(run.directory)),
      ...reportOf(report),
    };
  };

  server.get("/api/live", (_, reply) => {
    reply.hijack();
    overview.add(reply.raw);
  });
  server.get("/api/watch", (request, reply) => {
    const { run: requested } = readRequest(watchQuerySchema, request.query, "query");
    reply.hijack();
    overview.add(reply.raw);
    for (const { id, after } of requested)
      try {
        const run = service.runs.get(id);
        hub.streamRun(watched(run), reply.raw, after, firstFrames(run));
      } catch (thrown) {
        // The answer has begun, and contains other runs.
        const error = asLapidaryError(thrown);
        if (error.code === "LAP_INTERNAL") onBug?.(thrown);
        reply.raw.write(runMessageText({ id, kind: "end", error: error.toJSON() }));
      }
  });
  server.get("/api/jobs/:id/snapshot", (request): Snapshot => snapshotOf(runOf(request)));
  server.get("/api/jobs/:id/live", (request, reply) => {
    const run = runOf(request);
    const { after } = readRequest(
      liveQuerySchema,
      request.headers["last-event-id"] === undefined ? request.query : { after: request.headers["last-event-id"] },
      "query",
    );
    reply.hijack();
    hub.streamEvents(watched(run), reply.raw, after);
  });
  server.get("/api/jobs/:id/frames", (request, reply) => {
    const run = runOf(request);
    const first = firstFrames(run);
    reply.hijack();
    hub.streamFrames(watched(run), reply.raw, first);
  });
  server.get("/api/jobs/:id/program", (request, reply) => {
    const run = runOf(request);
    if (!existsSync(programFile(run.directory))) throw noProgram(run);
    return reply.type("application/json; charset=utf-8").send(readFileSync(programFile(run.directory)));
  });
  server.get("/api/jobs/:id/series", async (request) => {
    const { from, to, points } = readRequest(rangeQuerySchema, request.query, "query");
    const run = runOf(request);
    const found = newTrainSeries(points);
    await readSeries(run.directory, from, to, found);
    return found.toJson(points);
  });
  server.get("/api/jobs/:id/worker-steps", (request, reply) => {
    const { from, to, points } = readRequest(rangeQuerySchema, request.query, "query");
    const { workers, steps } = readWorkerSteps(runOf(request).directory, from, to, points);
    return reply.type("application/octet-stream").send(Buffer.from(encodeWorkerSteps(workers, steps)));
  });
  server.get("/api/jobs/:id/step-trace", (request): RecordedStep => {
    const { step } = readRequest(stepQuerySchema, request.query, "query");
    return stepTraceAt(runOf(request).directory, step);
  });
  server.get(
    "/api/jobs/:id/log-lines",
    (request): Promise<LogPage> => findLogLines(runOf(request).directory, readRequest(logQuerySchema, request.query, "query")),
  );
  server.get("/api/jobs/:id/page.html", (request, reply) => {
    const run = runOf(request);
    if (page?.isBuilt !== true) throw noPage();
    return reply
      .headers({ "content-disposition": `attachment; filename="${run.id}.html"` })
      .type("text/html; charset=utf-8")
      .send(exportPage(page, snapshotOf(run), run.directory));
  });
  server.get("/api/openapi.json", () => openApi(service.status().version));
  server.get("/metrics", (_, reply) =>
    reply
      .type("text/plain; version=0.0.4; charset=utf-8")
      .send(prometheusText(service.status(), service.runs.list({ limit: overviewRuns }).jobs, Date.now())),
  );
  if (page !== undefined) page.addRoutes(server);
  if (home !== undefined) addDataRoutes(server, home, s3, page);
  if (root === undefined) return;
  addLaunchRoutes(server, service, root);
}

/** The report of a run, and the comparison of models in it. Both are absent if the report is missing or damaged. */
function reportOf(path: string): Pick<Snapshot, "report" | "comparison"> {
  if (!existsSync(path)) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // The report is damaged: /report returns the error, and other views of the run are shown.
    return {};
  }
  const [report, comparison] = [reportSchema.safeParse(value).data, comparisonOf(value)];
  return { ...(report === undefined ? {} : { report }), ...(comparison === undefined ? {} : { comparison }) };
}

function noProgram(run: Run): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NO_PROGRAM",
    message: `job ${run.id} has no program: it is ${run.state}`,
    location: run.id,
    remedy: isFinal(run.state) ? "launch it again: it ended before it was compiled, or by an earlier version" : "wait until it is compiled",
  });
}
