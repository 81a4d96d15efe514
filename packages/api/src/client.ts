import { errorFromJSON, LapidaryError } from "@lapidary/std";
import { z } from "zod";
import {
  type Cancelled,
  type CheckpointList,
  type Connection,
  cancelledSchema,
  checkpointListSchema,
  errorBodySchema,
  errorSchema,
  type JobDetail,
  type JobList,
  type JobState,
  jobDetailSchema,
  jobListSchema,
  type LogsPage,
  logsPageSchema,
  type MetricsPage,
  metricsPageSchema,
  type PipelineCancelled,
  type PipelineDetail,
  type PipelineSubmitted,
  pipelineCancelledSchema,
  pipelineDetailSchema,
  pipelineSubmittedSchema,
  type Report,
  type Resumed,
  resumedSchema,
  type ResumeRequest,
  reportSchema,
  type Status,
  type StreamEvent,
  type Submitted,
  type SubmitPipeline,
  type SubmitRequest,
  statusSchema,
  stoppingSchema,
  streamEventNames,
  streamEventSchema,
  submittedSchema,
} from "./schemas.js";
import { coordinatorDown, readConnection } from "./connection.js";
import { describeEvent } from "./describe-event.js";
import { directFetch } from "./direct-fetch.js";
import { runEventsIn, type TimedEvent } from "./run-events.js";
import { type ProgramView, programViewSchema } from "./program-view.js";

export { coordinatorDown, findConnection } from "./connection.js";

/** A broken stream is opened again this many times, at this interval. Then the coordinator counts as down. */
const reconnects = 5;
const reconnectAfterMs = 400;
/** A coordinator sends a message on every stream every 15 s and answers faster than that. After this time without a byte it counts as down. */
const silentMs = 120_000;
/** The zod issue of an unknown key in a request. */
const unrecognizedKeys: z.core.$ZodIssueCode = "unrecognized_keys";

/**
 * The HTTP client of a coordinator. If the coordinator answers with an error, the method throws that LapidaryError. If no coordinator answers, it throws
 * LAP_COORDINATOR_DOWN (exit 3).
 */
export class CoordinatorClient {
  readonly #base: string;
  readonly #token: string;

  constructor(connection: Pick<Connection, "port" | "token">) {
    this.#base = `http://127.0.0.1:${connection.port}`;
    this.#token = connection.token;
  }

  /** The client of the coordinator that serves a state directory. @throws LAP_COORDINATOR_DOWN without a `coordinator.json` */
  static forHome(home: string): CoordinatorClient {
    return new CoordinatorClient(readConnection(home));
  }

  /** The URL of the page, with the token. Opening it once logs the browser in. */
  get pageUrl(): string {
    return `${this.#base}/?token=${this.#token}`;
  }

  status(): Promise<Status> {
    return this.#json("GET", "/api/status", statusSchema);
  }

  submit(request: SubmitRequest): Promise<Submitted> {
    return this.#json("POST", "/api/jobs", submittedSchema, request);
  }

  list(query: { readonly state?: readonly JobState[]; readonly limit?: number; readonly cursor?: string } = {}): Promise<JobList> {
    const { state, ...rest } = query;
    return this.#json(
      "GET",
      `/api/jobs${queryText({ ...rest, ...(state === undefined ? {} : { state: state.join(",") }) })}`,
      jobListSchema,
    );
  }

  get(id: string): Promise<JobDetail> {
    return this.#json("GET", jobPath(id), jobDetailSchema);
  }

  cancel(id: string): Promise<Cancelled> {
    return this.#json("POST", jobPath(id, "cancel"), cancelledSchema);
  }

  /** Resumes a job that failed or was cancelled. */
  resume(id: string, request: ResumeRequest = {}): Promise<Resumed> {
    return this.#json("POST", jobPath(id, "resume"), resumedSchema, request);
  }

  submitPipeline(request: SubmitPipeline): Promise<PipelineSubmitted> {
    return this.#json("POST", "/api/pipelines", pipelineSubmittedSchema, request);
  }

  pipeline(id: string): Promise<PipelineDetail> {
    return this.#json("GET", pipelinePath(id), pipelineDetailSchema);
  }

  /** Cancels the jobs of a pipeline that wait. Running jobs go on. */
  cancelPipeline(id: string): Promise<PipelineCancelled> {
    return this.#json("POST", `${pipelinePath(id)}/cancel`, pipelineCancelledSchema);
  }

  metrics(id: string, page: { readonly from?: number; readonly limit?: number } = {}): Promise<MetricsPage> {
    return this.#json("GET", `${jobPath(id, "metrics")}${queryText(page)}`, metricsPageSchema);
  }

  logs(id: string, page: { readonly worker?: number; readonly from?: number; readonly limit?: number } = {}): Promise<LogsPage> {
    return this.#json("GET", `${jobPath(id, "logs")}${queryText(page)}`, logsPageSchema);
  }

  report(id: string): Promise<Report> {
    return this.#json("GET", jobPath(id, "report"), reportSchema);
  }

  checkpoints(id: string): Promise<CheckpointList> {
    return this.#json("GET", jobPath(id, "checkpoints"), checkpointListSchema);
  }

  /** The view of the compiled step of a run. */
  program(id: string): Promise<ProgramView> {
    return this.#json("GET", jobPath(id, "program"), programViewSchema);
  }

  /** The page of a run as one file that needs no server. */
  async pageFile(id: string): Promise<string> {
    return (await this.#fetch("GET", jobPath(id, "page.html"), {})).text();
  }

  /** Times of workers by step: frames as in `frames.ts`. */
  async workerSteps(id: string, query: { readonly from?: number; readonly points?: number } = {}): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#fetch("GET", `${jobPath(id, "worker-steps")}${queryText(query)}`, {})).arrayBuffer());
  }

  async shutdown(): Promise<void> {
    await this.#json("POST", "/api/shutdown", stoppingSchema, {});
  }

  /**
   * A job's events after number `after` up to its `done`, live. A broken connection is opened again after the last received event.
   *
   * @param signal ends the iteration without an error
   * @param follow false: only what has happened so far
   */
  async *stream(
    id: string,
    options: { readonly after?: number; readonly signal?: AbortSignal; readonly follow?: boolean } = {},
  ): AsyncGenerator<StreamEvent, void, undefined> {
    const { signal, follow = true } = options;
    let after = options.after ?? 0;
    for (let broken = 0; ; ) {
      try {
        for await (const event of this.#connectStream(id, after, follow, signal)) {
          [after, broken] = [event.id, 0];
          yield event;
          if (event.event === "done") return;
        }
        if (!follow) return;
        // The stream ended without `done`: either the caller received it before, or the coordinator is stopping.
        if ((await this.get(id)).finished_at !== undefined) return;
        throw coordinatorDown(this.#base, `the events of job ${id} ended before the job did`);
      } catch (error) {
        if (signal?.aborted === true) return;
        if (!(error instanceof LapidaryError) || error.code !== "LAP_COORDINATOR_DOWN") throw error;
        if (++broken > reconnects) throw error;
        await pause(reconnectAfterMs, signal);
      }
    }
  }

  /** The run events of a job so far. `skipped`: the number of those whose type is newer than this version. */
  async events(id: string): Promise<{ readonly events: TimedEvent[]; readonly skipped: number }> {
    const all: StreamEvent[] = [];
    for await (const event of this.stream(id, { follow: false })) all.push(event);
    return runEventsIn(all);
  }

  async *#connectStream(id: string, after: number, follow: boolean, signal: AbortSignal | undefined): AsyncGenerator<StreamEvent> {
    const response = await this.#fetch("GET", `${jobPath(id, "stream")}?follow=${follow}`, {
      headers: { accept: "text/event-stream", "last-event-id": String(after) },
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      yield* readEvents(alive(response.body ?? new ReadableStream<Uint8Array>()));
    } catch (cause) {
      throw cause instanceof LapidaryError ? cause : coordinatorDown(this.#base, "the connection broke", cause);
    }
  }

  async #json<T extends z.ZodType>(method: string, path: string, schema: T, body?: unknown): Promise<z.output<T>> {
    const response = await this.#fetch(
      method,
      path,
      body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } },
    );
    const parsed = schema.safeParse(await response.json().catch(() => undefined));
    if (parsed.success) return parsed.data;
    throw unknownAnswer(this.#base, path, parsed.error);
  }

  async #fetch(
    method: string,
    path: string,
    init: { readonly body?: string; readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal },
  ): Promise<Response> {
    let response: Response;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error(`no answer within ${silentMs / 1000} s`)), silentMs);
    try {
      response = await directFetch(`${this.#base}${path}`, {
        ...init,
        method,
        signal: init.signal === undefined ? silence.signal : AbortSignal.any([init.signal, silence.signal]),
        headers: { ...init.headers, authorization: `Bearer ${this.#token}` },
      });
    } catch (cause) {
      throw coordinatorDown(this.#base, reasonOf(cause), cause);
    } finally {
      clearTimeout(timer);
    }
    if (response.ok) return response;
    const parsed = errorBodySchema.safeParse(await response.json().catch(() => undefined));
    if (!parsed.success) throw coordinatorDown(this.#base, `something else answers there, with HTTP ${response.status}`);
    const { error, issue } = parsed.data;
    // This client sends only keys and routes of its own version. A coordinator that does not know them has another version.
    const isOtherVersion = error.code === "LAP_HTTP_ROUTE" || (error.code === "LAP_HTTP_REQUEST" && issue === unrecognizedKeys);
    throw isOtherVersion ? otherVersion(this.#base, `does not know this request: ${error.message}`) : errorOf(error);
  }
}

const pipelinePath = (id: string): string => `/api/pipelines/${encodeURIComponent(id)}`;
const jobPath = (id: string, what?: string): string => `/api/jobs/${encodeURIComponent(id)}${what === undefined ? "" : `/${what}`}`;

function queryText(query: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)] as const]));
  return pairs.length === 0 ? "" : `?${new URLSearchParams(Object.fromEntries(pairs))}`;
}

/** The reason of a failed `fetch` is in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error instanceof Error ? error : { cause: undefined, message: String(error) };
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : message;
}

/** The error for an answer that the schema of this version refuses. */
function unknownAnswer(base: string, path: string, error: z.ZodError): LapidaryError {
  const [issue] = error.issues;
  const where =
    issue === undefined ? "" : `: ${[issue.path.map(String).join("."), issue.message].filter((part) => part !== "").join(": ")}`;
  return otherVersion(base, `answers ${path.split("?")[0]} in a way that this version of Lapidary does not know${where}`, error);
}

function otherVersion(base: string, what: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_VERSION",
    message: `the coordinator ${what}`,
    location: base,
    cause,
  });
}

/** The chunks of a stream. @throws Error if no chunk arrives within `silentMs` */
async function* alive(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`it has been silent for ${silentMs / 1000} s`)), silentMs);
      });
      const piece = await Promise.race([reader.read(), silence]);
      clearTimeout(timer);
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => undefined);
  }
}

/** The maximum length of an event, in characters. A longer event does not come from a coordinator. */
const longestEvent = 1 << 26;

/**
 * The events of a stream of server-sent events: blocks of `field: value` lines, separated by empty lines. An event that this version cannot read
 * becomes a log event with `stream_event_skipped`.
 *
 * @throws LapidaryError that the stream ends with; Error if it is not a stream of events
 */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    if (text.length > longestEvent) throw new Error(`an event cannot have ${text.length} characters`);
    for (const block of blocks) {
      const fields = new Map(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
      );
      if (fields.has("data")) yield eventOf(fields);
    }
  }
}

function eventOf(fields: ReadonlyMap<string, string>): StreamEvent {
  const [id, event, data] = [Number(fields.get("id")), fields.get("event"), parsedJson(fields.get("data") ?? "")];
  const error = event === "error" ? errorSchema.safeParse(data).data : undefined;
  if (error !== undefined) throw errorOf(error);
  const read = streamEventSchema.safeParse({ id, event, data }).data;
  if (read !== undefined) return read;
  if (!Number.isInteger(id) || id < 0) throw new Error(`an event cannot have the number ${fields.get("id") ?? "of none"}`);
  const cause = event === undefined || data === undefined || streamEventNames.includes(event) ? "damaged" : "newer_version";
  const run_event = { type: "stream_event_skipped", event_id: id, name: event?.slice(0, 40) ?? "without a name", cause } as const;
  return { id, event: "log", data: { time: timeOf(data), source: "lapidary", line: describeEvent(run_event), run_event } };
}

const timeOf = (data: unknown): number => {
  const time = (data as { time?: unknown } | null | undefined)?.time;
  return typeof time === "number" && time >= 0 && time <= 8.64e15 ? time : 0;
};

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses undefined.
    return undefined;
  }
}

function errorOf({ place, ...error }: z.output<typeof errorSchema>): LapidaryError {
  return errorFromJSON(place === undefined ? error : { ...error, place });
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    signal?.addEventListener("abort", end);
  });
}
