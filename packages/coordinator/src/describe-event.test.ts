import { deepStrictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expectText } from "@lapidary/std/testing";
import { describeEvent } from "@lapidary/api/describe-event";
import { type RunEvent, runEventFields, runEventSchema } from "@lapidary/api/run-events";
import { projectRoot } from "./testing/harness.js";

const slice = { pod: 0, pods: 1, origin: [0, 0], dims: [4, 4] };
const error = { code: "LAP_WORKER_LOST", message: "worker 1 was ended by SIGKILL", place: "worker 1" };
const full = { code: "LAP_CHECKPOINT_WRITE", message: "the checkpoint cannot be written: ENOSPC", place: "/runs/a", system_code: "ENOSPC" };

/** At least one event of each type. */
const examples: readonly RunEvent[] = [
  { type: "attempt_started", attempt: 1 },
  { type: "state_restored", attempt: 1, step: 0, source: "initialization", repeated_steps: 0, rewinds: false },
  { type: "state_restored", attempt: 2, step: 4, source: "replica", repeated_steps: 1, rewinds: false, error_code: "LAP_WORKER_LOST" },
  { type: "state_restored", attempt: 3, step: 4, source: "checkpoint", repeated_steps: 3, rewinds: true },
  { type: "attempt_failed", attempt: 1, step: 6, error, recoverable: true },
  { type: "attempt_ended", attempt: 2, step: 12, reason: "finished" },
  { type: "attempt_ended", attempt: 2, step: 12, reason: "drained" },
  { type: "attempt_ended", attempt: 2, step: 12, reason: "regrouped" },
  { type: "attempt_ended", attempt: 2, step: 12, reason: "batch_skipped" },
  { type: "attempt_ended", attempt: 2, step: 12, reason: "stopped" },
  { type: "superseded", attempt: 2, by: 3 },
  { type: "batch_skipped", step: 5, batch: 4, error: { code: "LAP_LOSS_NOT_FINITE", message: "the loss is NaN at step 5" } },
  { type: "worker_group_started", attempt: 1, slice, workers: [{ worker: 0, pid: 71 }] },
  {
    type: "worker_group_started",
    attempt: 1,
    slice,
    workers: [
      { worker: 0, pid: 71 },
      { worker: 1, pid: 72 },
    ],
  },
  { type: "worker_restarted", worker: 1, pid: 73, previous_pid: 72 },
  { type: "worker_lost", worker: 1, pid: 72, signal: "SIGKILL" },
  { type: "worker_lost", worker: 1, pid: 72, exit_code: 1 },
  { type: "worker_lost", worker: 1, pid: 72 },
  { type: "worker_evicted", worker: 1, pid: 72, reason: "no_heartbeat", waited_ms: 3000 },
  { type: "worker_evicted", worker: 1, pid: 72, reason: "no_answer", waited_ms: 300_000 },
  { type: "worker_evicted", worker: 1, pid: 72, reason: "no_connection", waited_ms: 3000 },
  { type: "worker_evicted", worker: 1, pid: 72, reason: "did_not_leave", waited_ms: 5000 },
  { type: "worker_evicted", worker: 1, pid: 73, reason: "not_ready", waited_ms: 120_250 },
  { type: "worker_leave_failed", error },
  { type: "worker_count_changed", from: 2, to: 1, wanted: 2 },
  { type: "worker_count_changed", from: 1, to: 2, wanted: 2 },
  { type: "workers_released", after_ms: 1234.5, slice },
  { type: "straggler_found", worker: 1, factor: 3.14159 },
  { type: "fault_injected", site: "before-vote", step: 4, target: 1, action: "kill" },
  { type: "fault_injected", site: "after-commit", step: 4, target: "c", action: "kill" },
  { type: "checkpoint_written", step: 4, path: "/runs/a/checkpoints/step-4", bytes: 1000 },
  { type: "checkpoint_failed", step: 4, error: full },
  { type: "checkpoint_verified", step: 4, path: "/runs/a/checkpoints/step-4" },
  { type: "checkpoint_rejected", step: 4, error: { code: "LAP_CHECKPOINT_DAMAGED", message: "its bytes have changed" } },
  { type: "checkpoint_deleted", step: 4 },
  { type: "replica_stored", step: 1, bytes: 1000, interval: 1 },
  { type: "replica_stored", step: 1, bytes: 1000, interval: 8 },
  { type: "tokenizer_ready", ids: 512, origin: "run" },
  { type: "tokenizer_ready", ids: 512, origin: "given", path: "/gpt2" },
  { type: "tokenizer_ready", ids: 512, origin: "trained", is_new_to_weights: true },
  { type: "dataset_ready", corpus: "/corpus", documents: 4, tokens: 1000, heldout_tokens: 100, unigram_loss: 6.5 },
  { type: "documents_skipped", corpus: "/corpus", reasons: { duplicate: 2, "not text": 1 } },
  { type: "recipe_noted", step: 2, name: "drift", values: { kl: 0.25, note: "high" } },
  { type: "completions_sampled", step: 1, completions: [{ prompt: "3 1 2", completion: "1 2 3", score: 1 }] },
  {
    type: "completions_sampled",
    step: 20,
    split: "heldout",
    completions: [{ prompt: "3 1 2", completion: "1 2 3", score: 1, finish_reason: "stop" }],
  },
  { type: "examples_filtered", corpus: "/demos", filter: "pii", checked: 20, removed: 1, kinds: { email: 1 } },
  {
    type: "examples_refused",
    corpus: "/demos",
    reasons: { LAP_EXAMPLE_ROLE: 2 },
    first: [{ file: "/demos", row: 3, code: "LAP_EXAMPLE_ROLE", reason: "the dialogue has no turns", remedy: "add turns" }],
  },
  { type: "program_compiled", program: "0123456789abcdef", parameters: 1000, collectives: 7 },
  { type: "weights_loaded", path: "/weights" },
  { type: "warning_found", code: "LAP_MESH_AXIS_IDLE", message: "the axis is idle", place: "mesh.data", remedy: "remove it" },
  { type: "job_taken_over", resumed: 1 },
  { type: "cancel_requested" },
  { type: "drain_requested" },
  { type: "job_ended", state: "done" },
  { type: "job_ended", state: "failed", error },
  { type: "job_ended", state: "cancelled" },
  { type: "journal_lines_skipped", file: "events.jsonl", from_line: 3, to_line: 3, cause: "damaged" },
  { type: "journal_lines_skipped", file: "events.jsonl", from_line: 3, to_line: 5, cause: "newer_version" },
  { type: "stream_event_skipped", event_id: 7, name: "state", cause: "damaged" },
  { type: "stream_event_skipped", event_id: 7, name: "later", cause: "newer_version" },
];

describe("the description of a run event", () => {
  it("describeEvent returns one line for each type of the union", () => {
    deepStrictEqual([...new Set(examples.map(({ type }) => type))].sort(), [...runEventFields.keys()].sort());
    for (const event of examples) deepStrictEqual(runEventSchema.parse(JSON.parse(JSON.stringify(event))), event);
    const lines = examples.map((event) => `${event.type.padEnd(21)}  ${describeEvent(event)}`);
    deepStrictEqual(
      lines.filter((line) => line.includes("\n") || line.includes("undefined")),
      [],
    );
    expectText(lines.join("\n"), join(projectRoot, "packages/coordinator/src/describe-event.txt"));
  });
});

describe("the table of run events in the README of api", () => {
  it("the table has each type of the union, with its fields", () => {
    const text = readFileSync(join(projectRoot, "packages/api/README.md"), "utf8");
    const section = text.slice(text.indexOf("## Run events"));
    const rows = [...section.matchAll(/^\| `(\w+)` \| ([^|]*) \| [^|]+ \|$/gm)].map(([, type = "", fields = ""]) => [
      type,
      [...fields.matchAll(/`([\w?]+)`/g)].map(([, name]) => name),
    ]);
    deepStrictEqual(rows, [...runEventFields]);
  });
});
