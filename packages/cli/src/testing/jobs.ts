import type { JobDetail, StreamEvent } from "@lapidary/api";
import { report, trainRow } from "@lapidary/report/testing";
import { ExitCode } from "@lapidary/std";
import type { FakeJob } from "./fake-coordinator.js";

const detail: JobDetail = {
  id: "quickstart-1",
  state: "done",
  priority: 0,
  model: "quickstart",
  pod: "v5e-256",
  mesh: "data=16,model=16",
  chips: 256,
  created_at: 1000,
  started_at: 2000,
  finished_at: 3000,
  step: 2,
  steps: 2,
  loss: 3.1,
  tokens_per_s: 8000,
  heldout_loss: 3.2,
  unigram_loss: 6,
  job: {},
  directory: "/runs/quickstart-1",
};

const before: readonly StreamEvent[] = [
  { id: 1, event: "state", data: { time: 1000, state: "queued" } },
  { id: 2, event: "state", data: { time: 2000, state: "compiling", activity: { what: "train the tokenizer", done: 310, total: 1000 } } },
  { id: 3, event: "state", data: { time: 2100, state: "running" } },
  { id: 4, event: "metrics", data: trainRow(1, 7.5) },
  { id: 5, event: "log", data: { time: 2200, source: "worker 1", line: "warm" } },
  { id: 6, event: "metrics", data: trainRow(2, 3.1) },
  { id: 7, event: "metrics", data: { kind: "eval", time: 2900, step: 2, heldout_loss: 3.2, unigram_loss: 6, tokens: 100 } },
];

export const doneJob: FakeJob = { detail, events: [...before, { id: 8, event: "done", data: { time: 3000, state: "done" } }], report };

/** A job that failed because a worker was killed. */
export const failedJob: FakeJob = endedBy("broken", "failed", {
  code: "LAP_WORKER_LOST",
  message: "worker 0 was ended by SIGKILL",
  place: "worker 0",
  remedy: "read its logs",
  exit: ExitCode.jobFailed,
});
/** A job that failed because of an error in its input. */
export const mistakenJob: FakeJob = endedBy("mistaken", "failed", {
  code: "LAP_DATA_EMPTY",
  message: "the corpus is empty",
  place: "a.txt",
  remedy: "choose another",
  exit: ExitCode.usage,
});
export const cancelledJob: FakeJob = endedBy("dropped", "cancelled");

function endedBy(id: string, state: "failed" | "cancelled", error?: JobDetail["error"]): FakeJob {
  const end = { time: 3000, state, ...(error === undefined ? {} : { error }) };
  return {
    detail: { ...detail, id, state, ...(error === undefined ? {} : { error }) },
    events: [...before, { id: 8, event: "done", data: end }],
  };
}
