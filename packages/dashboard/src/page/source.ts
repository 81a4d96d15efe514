import type { StreamEvent } from "@lapidary/coordinator/api";
import type { RecordedStep, Snapshot } from "@lapidary/coordinator/view-api";
import { FrameReader, type ChipArrays, type WorkerStep } from "@lapidary/coordinator/views/frames";
import type { ProgramView } from "@lapidary/coordinator/views/program-view";
import { parseAnswer } from "../model/answer.js";
import type { LiveStream } from "./live-stream.js";
import { whileWaiting } from "./waiting.js";

/** What the coordinator answered instead of what was asked for, or why it did not answer. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly status: number,
    readonly place?: string,
  ) {
    super(message);
  }

  /** Nobody answered: the coordinator is away. */
  get isAway(): boolean {
    return this.status === 0;
  }
}

export interface Follower {
  readonly events: (events: readonly StreamEvent[]) => void;
  readonly frames: (workers: number, steps: readonly WorkerStep[]) => void;
  readonly chips: (chips: ChipArrays) => void;
  /** Too much was missed: take a new snapshot. */
  readonly reset: () => void;
  readonly connected: (is: boolean) => void;
}

/** Where a page has its runs from: the coordinator, or what was saved in the page's file. */
export interface Source {
  /** Whether it can change or start anything. */
  readonly live: boolean;
  snapshot(id: string): Promise<Snapshot>;
  program(id: string): Promise<ProgramView>;
  workerSteps(id: string): Promise<{ workers: number; steps: readonly WorkerStep[] }>;
  /** Every call of the newest recorded step that is not above `step`. */
  stepTrace(id: string, step?: number): Promise<RecordedStep>;
  /** Calls back with what happens after event number `after`; returns how to stop. */
  follow(id: string, after: () => number, follower: Follower): () => void;
}

export async function ask<T>(path: string, body?: unknown): Promise<T> {
  const response = await send(path, body);
  return parseAnswer(await response.text()) as T;
}

async function send(path: string, body?: unknown): Promise<Response> {
  let response: Response;
  try {
    const init = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    response = await whileWaiting(fetch(path, init));
  } catch {
    throw new Refusal(
      "LAP_COORDINATOR_DOWN",
      "the coordinator does not answer",
      "start it with `lapidary up`; this page comes back by itself",
      0,
    );
  }
  if (response.ok) return response;
  const told = (await response.json().catch(() => ({}))) as {
    error?: { code?: string; message?: string; remedy?: string; place?: string };
  };
  const { code = "LAP_HTTP", message = `the coordinator answered ${response.status}`, remedy = "", place } = told.error ?? {};
  throw new Refusal(code, message, remedy, response.status, place);
}

export const retryMs = 1000;

const runPath = (id: string, what: string): string => `api/jobs/${encodeURIComponent(id)}/${what}`;

/** What the coordinator answers; what happens comes by the stream that the tabs of a browser share. */
export const serverSource = (live: LiveStream): Source => ({
  live: true,
  snapshot: (id) => ask(runPath(id, "snapshot")),
  program: (id) => ask(runPath(id, "program")),
  workerSteps: async (id) => {
    const response = await send(runPath(id, "worker-steps?points=1500"));
    return stepsOf(new Uint8Array(await response.arrayBuffer()));
  },
  stepTrace: (id, step) => ask(runPath(id, `step-trace${step === undefined ? "" : `?step=${step}`}`)),
  follow: (id, after, follower) => live.follow(id, after, follower),
});

function stepsOf(bytes: Uint8Array): { workers: number; steps: readonly WorkerStep[] } {
  const frame = new FrameReader().push(bytes)[0];
  return frame?.kind === "worker steps" ? frame : { workers: 0, steps: [] };
}

/** What `export-run` put into the page, if this is such a page. */
export function recordedSource(): { readonly source: Source; readonly id: string } | undefined {
  const text = document.getElementById("recorded")?.textContent;
  if (text === undefined || text === null) return undefined;
  const recorded = parseAnswer(text) as {
    snapshot: Snapshot;
    program: ProgramView | null;
    worker_steps: string;
    step_trace?: RecordedStep;
  };
  const { snapshot, program } = recorded;
  const only = <T>(id: string, value: T | null): Promise<T> =>
    id === snapshot.job.id && value !== null
      ? Promise.resolve(value)
      : Promise.reject(
          new Refusal("LAP_JOB_UNKNOWN", `this file holds the run ${snapshot.job.id} only`, "open the coordinator's page for others", 404),
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
