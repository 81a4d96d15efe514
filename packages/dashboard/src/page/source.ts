import type { RecordedStep, Snapshot } from "@lapidary/api/view-api";
import { FrameReader, type WorkerStep } from "@lapidary/api/frames";
import type { AblationReport } from "@lapidary/api/ablation-report";
import type { DatasetCard } from "@lapidary/api/data-view";
import type { ProgramView } from "@lapidary/api/program-view";
import { parseResponse } from "../model/response.js";
import type { Follower } from "./follower.js";
import type { LiveStream } from "./live-stream.js";
import { reportIfSlow } from "./waiting.js";

/** An error response of the coordinator, or the failure of a request. */
export class RequestError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly status: number,
    readonly place?: string,
  ) {
    super(message);
  }

  /** Whether there was no response, because the coordinator is unreachable. */
  get isUnreachable(): boolean {
    return this.status === 0;
  }
}

/** The source of a page's runs: the coordinator, or the data saved in the page's file. */
export interface Source {
  /** Whether the page is connected to a coordinator, and can launch and cancel runs. */
  readonly live: boolean;
  snapshot(id: string): Promise<Snapshot>;
  program(id: string): Promise<ProgramView>;
  workerSteps(id: string): Promise<{ workers: number; steps: readonly WorkerStep[] }>;
  /** The calls of the newest recorded step up to `step`. */
  stepTrace(id: string, step?: number): Promise<RecordedStep>;
  /** Passes the events after number `after` to the follower; returns a function that stops it. */
  follow(id: string, after: () => number, follower: Follower): () => void;
}

export async function request<T>(path: string, body?: unknown): Promise<T> {
  const response = await send(path, body);
  return parseResponse(await response.text()) as T;
}

async function send(path: string, body?: unknown): Promise<Response> {
  let response: Response;
  try {
    const init = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    response = await reportIfSlow(fetch(path, init));
  } catch {
    throw new RequestError(
      "LAP_COORDINATOR_DOWN",
      "cannot reach the coordinator",
      "start it with `lapidary up`; this page then reconnects",
      0,
    );
  }
  if (response.ok) return response;
  const details = (await response.json().catch(() => ({}))) as {
    error?: { code?: string; message?: string; remedy?: string; place?: string };
  };
  const {
    code = "LAP_HTTP",
    message = `the coordinator responded with status ${response.status}`,
    remedy = "",
    place,
  } = details.error ?? {};
  throw new RequestError(code, message, remedy, response.status, place);
}

export const retryMs = 1000;

const runPath = (id: string, what: string): string => `api/jobs/${encodeURIComponent(id)}/${what}`;

/** The source of a page that is connected to a coordinator. Events arrive by the stream that the tabs of a browser share. */
export const serverSource = (live: LiveStream): Source => ({
  live: true,
  snapshot: (id) => request(runPath(id, "snapshot")),
  program: (id) => request(runPath(id, "program")),
  workerSteps: async (id) => {
    const response = await send(runPath(id, "worker-steps?points=1500"));
    return stepsOf(new Uint8Array(await response.arrayBuffer()));
  },
  stepTrace: (id, step) => request(runPath(id, `step-trace${step === undefined ? "" : `?step=${step}`}`)),
  follow: (id, after, follower) => live.follow(id, after, follower),
});

function stepsOf(bytes: Uint8Array): { workers: number; steps: readonly WorkerStep[] } {
  const frame = new FrameReader().push(bytes)[0];
  return frame?.kind === "worker steps" ? frame : { workers: 0, steps: [] };
}

/** The data in a page that was saved as a file. */
function recordedText(): string | undefined {
  return document.getElementById("recorded")?.textContent ?? undefined;
}

/** The card of a dataset, if `data card` wrote the page. */
export function recordedCard(): DatasetCard | undefined {
  const text = recordedText();
  return text === undefined ? undefined : (parseResponse(text) as { readonly card?: DatasetCard }).card;
}

/** The report of an ablation, if `data ablate` wrote the page. */
export function recordedAblation(): AblationReport | undefined {
  const text = recordedText();
  return text === undefined ? undefined : (parseResponse(text) as { readonly ablation?: AblationReport }).ablation;
}

const noRun = (): Promise<never> =>
  Promise.reject(new RequestError("LAP_JOB_UNKNOWN", "this file has no run", "open the page of the coordinator for runs", 404));

/** The source of a saved page without a run. */
export const sourceWithoutRuns: Source = {
  live: false,
  snapshot: noRun,
  program: noRun,
  workerSteps: noRun,
  stepTrace: noRun,
  follow: () => () => undefined,
};

/** The source of a page that `export-run` wrote, if this is such a page. */
export function recordedSource(): { readonly source: Source; readonly id: string } | undefined {
  const text = recordedText();
  if (text === undefined) return undefined;
  const recorded = parseResponse(text) as {
    snapshot?: Snapshot;
    program: ProgramView | null;
    worker_steps: string;
    step_trace?: RecordedStep;
  };
  const { snapshot, program } = recorded;
  if (snapshot === undefined) return undefined;
  const only = <T>(id: string, value: T | null): Promise<T> =>
    id === snapshot.job.id && value !== null
      ? Promise.resolve(value)
      : Promise.reject(
          new RequestError(
            "LAP_JOB_UNKNOWN",
            `this file contains only the run ${snapshot.job.id}`,
            "open the page of the coordinator for other runs",
            404,
          ),
        );
  return {
    id: snapshot.job.id,
    source: {
      live: false,
      snapshot: (id) => only(id, snapshot),
      program: (id) => only(id, program),
      workerSteps: async (id) => stepsOf(Uint8Array.from(atob(await only(id, recorded.worker_steps)), (c) => c.charCodeAt(0))),
      stepTrace: (id) => only(id, recorded.step_trace ?? { steps: [], trace: null }),
      follow: (_, __, follower) => {
        follower.connected(true);
        return () => undefined;
      },
    },
  };
}
