import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { StreamEvent } from "@lapidary/api";
import type { Snapshot } from "@lapidary/api/view-api";
import fc from "fast-check";
import { jsonText } from "@lapidary/std";
import { parseResponse } from "./response.js";
import { RunData } from "./run-data.js";

const snapshot = (lastId = 0): Snapshot => ({
  last_id: lastId,
  job: {
    id: "a",
    state: "queued",
    priority: 0,
    model: "nano",
    pod: "v5e-256",
    mesh: "data=4",
    chips: 4,
    created_at: 1,
    step: 0,
    steps: 50,
    job: {},
    directory: "/x",
  },
  series: { width: 1, step: [], columns: {} },
  evals: [],
  states: [],
  logs: [],
  log_count: 0,
  yaml: "",
  has_program: false,
});

const snapshotRow = {
  kind: "train",
  time: 5,
  step: 1,
  loss: 5,
  grad_norm: 1,
  learning_rate: 1e-3,
  tokens_per_s: 100,
  step_ms: 10,
  eta_s: 40,
} as const;

const events: readonly StreamEvent[] = [
  { id: 1, event: "state", data: { time: 2, state: "compiling" } },
  { id: 2, event: "state", data: { time: 3, state: "placing", slice: { pod: 0, pods: 1, origin: [0, 0], dims: [2, 2] } } },
  { id: 3, event: "state", data: { time: 4, state: "running" } },
  ...Array.from(
    { length: 40 },
    (_, i): StreamEvent => ({
      id: 4 + i,
      event: "metrics",
      data: {
        kind: "train",
        time: 5 + i,
        step: i + 1,
        loss: 5 - i / 10,
        grad_norm: 1,
        learning_rate: 1e-3,
        tokens_per_s: 100,
        step_ms: 10,
        eta_s: 40 - i,
      },
    }),
  ),
  { id: 44, event: "metrics", data: { kind: "eval", time: 50, step: 40, heldout_loss: 2, unigram_loss: 6, tokens: 9 } },
  { id: 45, event: "log", data: { time: 51, source: "worker 0", line: "hello" } },
  { id: 46, event: "done", data: { time: 60, state: "done" } },
];

describe("run data", () => {
  it("NaN and infinities of the coordinator are kept", () => {
    const row = { ...snapshotRow, loss: Number.NaN, learning_rate: Infinity, eta_s: Infinity };
    const sent = jsonText([
      { id: 1, event: "metrics", data: row },
      { id: 2, event: "log", data: { time: 1, source: "worker 0", line: "NaN" } },
    ]);
    const data = new RunData(snapshot());
    data.apply(parseResponse(sent) as StreamEvent[]);
    deepStrictEqual([data.lastRow, data.series.column("learning_rate").max, data.logs[0]?.line], [row, [Infinity], "NaN"]);
    const again = new RunData(parseResponse(jsonText({ ...snapshot(), series: data.series.toJson(10) })) as Snapshot);
    deepStrictEqual([again.series.column("learning_rate").last, again.series.column("loss").last], [[Infinity], [Number.NaN]]);
  });

  it("every event is applied once, for any restarts of the stream", () => {
    const whole = new RunData(snapshot());
    whole.apply(events);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 46 }), fc.integer({ min: 0, max: 46 })), { maxLength: 8 }), (pieces) => {
        const data = new RunData(snapshot());
        for (const [back, on] of pieces) {
          // A stream has no gap: it starts at or before the last known event.
          const from = Math.min(back, data.lastId);
          data.apply(events.slice(from, Math.max(from, on)));
        }
        data.apply(events.slice(Math.min(data.lastId, events.length)));
        deepStrictEqual(
          [data.series.steps(), data.evals, data.logCount, data.job, data.states.length],
          [whole.series.steps(), whole.evals, 1, whole.job, whole.states.length],
        );
      }),
      { numRuns: 50 },
    );
    strictEqual(whole.job.state, "done");
    strictEqual(whole.job.step, 40);
    strictEqual(whole.job.finished_at, 60);
  });

  it("run events are separate from the log lines of workers, and restarts counts the recovered attempts", () => {
    const failed = (id: number, recoverable: boolean): StreamEvent => {
      const error = { code: "LAP_WORKER_LOST", message: "m" };
      const run_event = { type: "attempt_failed", attempt: 1, step: 2, error, recoverable } as const;
      return { id, event: "log", data: { time: id, source: "coordinator", line: "x", run_event } };
    };
    const data = new RunData({
      ...snapshot(1),
      run_events: [{ id: 1, time: 1, source: "coordinator", line: "x", run_event: { type: "attempt_started", attempt: 1 } }],
    });
    data.apply([
      failed(2, true),
      { id: 3, event: "log", data: { time: 3, source: "worker 0", line: "y" } },
      failed(4, true),
      failed(5, false),
    ]);
    deepStrictEqual([data.runEvents.map(({ id }) => id), data.logs.length, data.restarts], [[1, 2, 4, 5], 4, 2]);
  });

  it("metrics of a recipe are columns, with their last values in the job, and NaN stays a number", () => {
    const metrics = { kl: Number.NaN, reward: 0.5 };
    const sent = jsonText([{ id: 1, event: "metrics", data: { ...snapshotRow, metrics } }]);
    const data = new RunData(snapshot());
    data.apply(parseResponse(sent) as StreamEvent[]);
    deepStrictEqual(data.job.metrics, metrics);
    data.apply([{ id: 2, event: "metrics", data: { ...snapshotRow, step: 2, metrics: { reward: 0.75 } } }]);
    deepStrictEqual(data.series.column("metrics.kl").last, [Number.NaN, Number.NaN]);
    deepStrictEqual([data.series.column("metrics.reward").last, data.job.metrics], [[0.5, 0.75], { reward: 0.75 }]);
    const again = new RunData(parseResponse(jsonText({ ...snapshot(), series: data.series.toJson(10) })) as Snapshot);
    deepStrictEqual(again.series.toJson(10), data.series.toJson(10));
  });

  it("the runs that a job waits for change with its state, and sampled completions are added to those of the snapshot", () => {
    const samples = [{ step: 1, split: "heldout", prompt: "p", completions: [] }] as const;
    const data = new RunData({ ...snapshot(), samples: [...samples] });
    const completions = [{ prompt: "p", completion: "c", score: 1 }];
    data.apply([
      { id: 1, event: "state", data: { time: 1, state: "queued", waiting_for: ["b"] } },
      {
        id: 2,
        event: "log",
        data: {
          time: 2,
          source: "coordinator",
          line: "x",
          run_event: { type: "completions_sampled", step: 9, split: "heldout", completions },
        },
      },
    ]);
    deepStrictEqual([data.job.waiting_for, data.samples.samples.map(({ step }) => step)], [["b"], [1, 9]]);
    data.apply([{ id: 3, event: "state", data: { time: 3, state: "compiling" } }]);
    strictEqual(data.job.waiting_for, undefined);
  });

  it("the series is truncated when a run resumes from an earlier checkpoint", () => {
    const data = new RunData(snapshot());
    data.apply(events.slice(0, 43));
    data.apply([
      {
        id: 50,
        event: "metrics",
        data: { kind: "train", time: 99, step: 21, loss: 1, grad_norm: 1, learning_rate: 1e-3, tokens_per_s: 100, step_ms: 10, eta_s: 1 },
      },
    ]);
    deepStrictEqual([data.series.lastStep, data.series.length], [21, 21]);
  });
});
