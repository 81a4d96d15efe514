import { z } from "zod";
import * as api from "@lapidary/api/schemas";
import * as data from "@lapidary/api/data-view";
import * as views from "@lapidary/api/view-api";
import { programViewSchema } from "@lapidary/api/program-view";

interface RouteDoc {
  readonly method: "get" | "post";
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** The answer: a schema for JSON, else the content type. */
  readonly answer: z.ZodType | string;
}

const overviewSchema = z.object({ status: api.statusSchema, jobs: z.array(api.jobSummarySchema) });

/** Every route as data. A test checks that no route is missing. */
export const routeDocs: readonly RouteDoc[] = [
  { method: "get", path: "/api/status", summary: "The coordinator, its workers and pods", answer: api.statusSchema },
  {
    method: "get",
    path: "/api/jobs",
    summary: "Runs, newest first, a page at a time",
    query: api.jobQuerySchema,
    answer: api.jobListSchema,
  },
  { method: "post", path: "/api/jobs", summary: "Submit a job", body: api.submitRequestSchema, answer: api.submittedSchema },
  { method: "get", path: "/api/jobs/{id}", summary: "A run", answer: api.jobDetailSchema },
  { method: "post", path: "/api/jobs/{id}/cancel", summary: "Cancel a run", answer: api.cancelledSchema },
  {
    method: "get",
    path: "/api/jobs/{id}/stream",
    summary: "Server-sent events of a run; Last-Event-ID resumes",
    answer: "text/event-stream",
  },
  { method: "get", path: "/api/jobs/{id}/metrics", summary: "Rows of metrics", query: api.pageQuerySchema, answer: api.metricsPageSchema },
  { method: "get", path: "/api/jobs/{id}/logs", summary: "Log lines", query: api.logsQuerySchema, answer: api.logsPageSchema },
  { method: "get", path: "/api/jobs/{id}/report", summary: "What a finished run leaves", answer: api.reportSchema },
  { method: "get", path: "/api/jobs/{id}/checkpoints", summary: "Checkpoints that are kept", answer: api.checkpointListSchema },
  {
    method: "post",
    path: "/api/pipelines",
    summary: "Submit a pipeline: jobs that wait for one another",
    body: api.submitPipelineSchema,
    answer: api.pipelineSubmittedSchema,
  },
  { method: "get", path: "/api/pipelines/{id}", summary: "A pipeline and its runs", answer: api.pipelineDetailSchema },
  {
    method: "post",
    path: "/api/pipelines/{id}/cancel",
    summary: "Cancel the runs of a pipeline that wait",
    answer: api.pipelineCancelledSchema,
  },
  { method: "post", path: "/api/shutdown", summary: "End the coordinator", body: api.shutdownRequestSchema, answer: api.stoppingSchema },
  { method: "get", path: "/api/live", summary: "Server-sent: `all`, then `change`, of status and runs", answer: overviewSchema },
  {
    method: "get",
    path: "/api/watch",
    summary: "Server-sent: `all`, `change`, and `run` and `frames` of each run that is named; all tabs of a browser share one",
    query: views.watchQuerySchema,
    answer: "text/event-stream",
  },
  { method: "get", path: "/api/jobs/{id}/snapshot", summary: "A run, cut to what a screen shows", answer: views.snapshotSchema },
  {
    method: "get",
    path: "/api/jobs/{id}/live",
    summary: "Server-sent: `events` with a list, `reset`, `end`",
    query: views.liveQuerySchema,
    answer: "text/event-stream",
  },
  {
    method: "get",
    path: "/api/jobs/{id}/frames",
    summary: "Binary frames: chips, then each step's times by worker",
    answer: "application/octet-stream",
  },
  { method: "get", path: "/api/jobs/{id}/program", summary: "The compiled step", answer: programViewSchema },
  {
    method: "get",
    path: "/api/jobs/{id}/series",
    summary: "Least, greatest and last value of metrics in buckets of steps",
    query: views.rangeQuerySchema,
    answer: views.seriesSchema,
  },
  {
    method: "get",
    path: "/api/jobs/{id}/worker-steps",
    summary: "Times of workers by step, one binary frame",
    query: views.rangeQuerySchema,
    answer: "application/octet-stream",
  },
  {
    method: "get",
    path: "/api/jobs/{id}/step-trace",
    summary: "Every call of one recorded step, worker by worker",
    query: views.stepQuerySchema,
    answer: views.recordedStepSchema,
  },
  {
    method: "get",
    path: "/api/jobs/{id}/log-lines",
    summary: "Log lines that contain a text, newest first",
    query: views.logQuerySchema,
    answer: views.logPageSchema,
  },
  { method: "get", path: "/api/jobs/{id}/page.html", summary: "The page of a run as one file", answer: "text/html" },
  {
    method: "get",
    path: "/api/data",
    summary: "Outputs of the data pipelines that ran with this state directory",
    answer: data.datasetListSchema,
  },
  { method: "get", path: "/api/data/{id}", summary: "The card of a dataset, also while it is computed", answer: data.datasetCardSchema },
  {
    method: "post",
    path: "/api/data/{id}/whatif",
    summary: "Which documents would stay under a changed rule",
    body: data.whatIfRequestSchema,
    answer: data.ruleEffectSchema,
  },
  { method: "get", path: "/api/data/{id}/card.html", summary: "The card of a dataset as one file", answer: "text/html" },
  { method: "get", path: "/api/job-files", summary: "Files of jobs and pipelines of the project", answer: views.jobFilesSchema },
  {
    method: "post",
    path: "/api/validate",
    summary: "Look a job file or a pipeline file over without launching it",
    body: views.validateRequestSchema,
    answer: views.validatedSchema,
  },
  {
    method: "post",
    path: "/api/pipelines/launch",
    summary: "Submit the text of a pipeline file",
    body: views.launchPipelineSchema,
    answer: api.pipelineSubmittedSchema,
  },
  { method: "get", path: "/api/openapi.json", summary: "This document", answer: "application/json" },
  { method: "get", path: "/metrics", summary: "For Prometheus", answer: "text/plain" },
];

/** The API as an OpenAPI 3.1 document, generated from the schemas that server and client use. */
export function openApi(version: string): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { method, path, summary, query, body, answer } of routeDocs) {
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" },
    }));
    paths[path] = {
      ...paths[path],
      [method]: {
        summary,
        ...(parameters.length + queryOf(query).length === 0 ? {} : { parameters: [...parameters, ...queryOf(query)] }),
        ...(body === undefined
          ? {}
          : { requestBody: { required: true, content: { "application/json": { schema: json(body, "input") } } } }),
        responses: {
          200: {
            description: summary,
            content: typeof answer === "string" ? { [answer]: {} } : { "application/json": { schema: json(answer, "output") } },
          },
          default: {
            description: "What went wrong, where, and what to do",
            content: { "application/json": { schema: json(api.errorBodySchema, "output") } },
          },
        },
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Lapidary", version, description: "The coordinator's API, on the loopback interface. Fields are only ever added." },
    components: { securitySchemes: { token: { type: "http", scheme: "bearer", description: "The token of .lapidary/coordinator.json" } } },
    security: [{ token: [] }],
    paths,
  };
}

function queryOf(schema: z.ZodType | undefined): unknown[] {
  if (schema === undefined) return [];
  const { properties = {} } = json(schema, "input") as { properties?: Record<string, unknown> };
  return Object.entries(properties).map(([name, property]) => ({ name, in: "query", required: false, schema: property }));
}

/** A transform has no JSON schema. The schema of its input is used instead. */
const json = (schema: z.ZodType, io: "input" | "output"): unknown =>
  z.toJSONSchema(schema, { io, unrepresentable: "any", target: "draft-2020-12" });
