import { counted, assertNever } from "@lapidary/std";
import type { EventError, EvictionReason, RunEvent, RunEventOf } from "./run-events.js";

/**
 * The sentence that describes an event to a person: in the log files, `lapidary logs`, `lapidary jobs events` and the page. No program may depend on its
 * wording.
 */
export function describeEvent(event: RunEvent): string {
  switch (event.type) {
    case "attempt_started":
      return `attempt ${event.attempt} starts`;
    case "state_restored":
      return describeRestore(event);
    case "attempt_failed":
      return `attempt ${event.attempt} failed before step ${event.step} was committed: ${errorText(event.error)}`;
    case "attempt_ended":
      return `attempt ${event.attempt} ended after step ${event.step}: ${endReasons[event.reason]}`;
    case "superseded":
      return `attempt ${event.attempt} was superseded by attempt ${event.by}`;
    case "batch_skipped":
      return `batch ${event.batch} is skipped at step ${event.step}: ${errorText(event.error)}`;
    case "checkpoint_written":
      return `checkpoint of step ${event.step} written: ${event.path}`;
    case "checkpoint_failed":
      return `the checkpoint of step ${event.step} was not written: ${errorText(event.error)}; training continues, earlier checkpoints are whole`;
    case "checkpoint_verified":
      return `checkpoint of step ${event.step} verified: ${event.path}`;
    case "checkpoint_rejected":
      return `the checkpoint of step ${event.step} was rejected: ${errorText(event.error)}`;
    case "checkpoint_deleted":
      return `checkpoint of step ${event.step} deleted`;
    case "replica_stored":
      return `the workers hold a replica of step ${event.step} (${event.bytes} bytes); ${event.interval === 1 ? "they store one every step" : `they store one every ${event.interval} steps`}`;
    default:
      return describeWorkerEvent(event);
  }
}

function describeRestore({ attempt, step, source, repeated_steps, rewinds, error_code }: RunEventOf<"state_restored">): string {
  const from = { initialization: "from its initial state", replica: "from replicas in worker memory", checkpoint: "from a checkpoint" };
  const again = repeated_steps === 0 ? "" : `; ${counted(repeated_steps, "step")} ${rewinds ? "computed anew" : "computed again"}`;
  return `attempt ${attempt}: training continues after step ${step}, ${from[source]}${again}${error_code === undefined ? "" : `; cause: ${error_code}`}`;
}

type OtherEvent = Exclude<
  RunEvent,
  {
    type:
      | "attempt_started"
      | "state_restored"
      | "attempt_failed"
      | "attempt_ended"
      | "superseded"
      | "batch_skipped"
      | `checkpoint_${string}`
      | "replica_stored";
  }
>;

function describeWorkerEvent(event: OtherEvent): string {
  switch (event.type) {
    case "worker_group_started": {
      const { dims, origin, pod } = event.slice;
      const pids = event.workers.map(({ pid }) => pid).join(", ");
      return `attempt ${event.attempt}: slice ${dims.join("x")} at ${origin.join(",")} of pod ${pod}; ${counted(event.workers.length, "worker")}: ${pids}`;
    }
    case "worker_restarted":
      return `worker ${event.worker} was restarted: process ${event.pid} replaces process ${event.previous_pid}`;
    case "worker_lost":
      return `worker ${event.worker} was lost: process ${event.pid} ${exitText(event.signal, event.exit_code)}`;
    case "worker_evicted":
      return `worker ${event.worker} was evicted: process ${event.pid} ${evictionText(event.reason, event.waited_ms)}`;
    case "worker_leave_failed":
      return `a worker did not leave its worker group: ${errorText(event.error)}`;
    case "worker_count_changed":
      return event.to < event.from
        ? `a worker cannot be replaced: ${event.to} of ${counted(event.wanted, "worker")} continue`
        : `all ${counted(event.wanted, "worker")} can be started again`;
    case "workers_released":
      return `the workers are released after ${Math.round(event.after_ms)} ms; slice ${event.slice.dims.join("x")} at ${event.slice.origin.join(",")} is free`;
    case "straggler_found":
      return `worker ${event.worker} is a straggler: it computes ${event.factor.toFixed(1)} times as long as the median worker`;
    case "fault_injected":
      return `a test injected a fault: ${event.action} at ${event.site}, step ${event.step}, ${event.target === "c" ? "coordinator" : `worker ${event.target}`}`;
    default:
      return describeJobEvent(event);
  }
}

type JobOrJournalEvent = Exclude<OtherEvent, { type: `worker_${string}` | "workers_released" | "straggler_found" | "fault_injected" }>;

function describeJobEvent(event: JobOrJournalEvent): string {
  switch (event.type) {
    case "tokenizer_ready":
      return describeTokenizer(event);
    case "dataset_ready":
      return `data: ${event.corpus}: ${counted(event.documents, "document")}, ${counted(event.tokens, "token")} to train on; ${event.heldout_tokens} held out, unigram loss ${event.unigram_loss.toFixed(3)}`;
    case "documents_skipped": {
      const reasons = Object.entries(event.reasons).map(([reason, number]) => `${number} ${reason}`);
      return `data: left out of ${event.corpus}: ${reasons.join(", ")}`;
    }
    case "examples_filtered":
      return `data: the filter ${event.filter} removed ${event.removed} of ${counted(event.checked, "example")}`;
    case "examples_refused": {
      const rows = event.first.map(({ file, row, reason }) => `row ${row} of ${file}: ${reason}`);
      const total = Object.values(event.reasons).reduce((sum, number) => sum + number, 0);
      return `data: ${counted(total, "row")} not used; ${rows.join("; ")}${total > rows.length ? "; …" : ""}`;
    }
    case "completions_sampled": {
      const completions = event.completions.map(({ completion, score }) => `${JSON.stringify(completion)} (${score.toPrecision(3)})`);
      const kind = event.split === "heldout" ? "completions of the held-out prompt" : "completions of";
      return `step ${event.step}: ${kind} ${JSON.stringify(event.completions[0]?.prompt ?? "")}: ${completions.join(", ")}`;
    }
    case "recipe_noted": {
      const values = Object.entries(event.values).map(([name, value]) => `${name} ${value}`);
      return `step ${event.step}: ${event.name}${values.length === 0 ? "" : `: ${values.join(", ")}`}`;
    }
    case "program_compiled":
      return `program ${event.program.slice(0, 12)}: ${counted(event.parameters, "parameter")}, ${counted(event.collectives, "collective")} a step`;
    case "weights_loaded":
      return `train.init: weights of ${event.path}; the optimizer and the step count start anew`;
    case "warning_found":
      return `warning ${event.code}${event.place === undefined ? "" : ` (${event.place})`}: ${event.message}. Remedy: ${event.remedy}`;
    case "job_taken_over":
      return "the coordinator ended while the job ran; the next coordinator resumes the job";
    case "cancel_requested":
      return "cancellation was requested";
    case "drain_requested":
      return "the coordinator is stopping: the job finishes its steps in flight and writes a checkpoint";
    case "job_ended":
      return `the job ${{ done: "is done", failed: "failed", cancelled: "was cancelled" }[event.state]}${event.error === undefined ? "" : `: ${errorText(event.error)}`}`;
    default:
      return describeJournalEvent(event);
  }
}

function describeTokenizer({ ids, origin, path, is_new_to_weights }: RunEventOf<"tokenizer_ready">): string {
  const from = { run: "that of the run", given: `of ${path ?? "the job"}`, trained: "trained on the corpus" }[origin];
  return `tokenizer: ${ids} ids, ${from}${is_new_to_weights === true ? ": its ids mean nothing to the weights of train.init" : ""}`;
}

function describeJournalEvent(event: Extract<RunEvent, { type: "journal_lines_skipped" | "stream_event_skipped" }>): string {
  switch (event.type) {
    case "journal_lines_skipped": {
      const { file, from_line: from, to_line: to, cause } = event;
      const [lines, are] = from === to ? [`line ${from}`, "is"] : [`lines ${from} to ${to}`, "are"];
      return cause === "damaged"
        ? `${lines} of ${file} cannot be read and ${are} left out`
        : `${lines} of ${file} ${are} of a newer version and ${are} skipped`;
    }
    case "stream_event_skipped":
      return event.cause === "damaged"
        ? `event ${event.event_id} (${event.name}) cannot be read and is left out`
        : `event ${event.event_id} (${event.name}) is of a newer version and is skipped`;
    default:
      return assertNever(event);
  }
}

const endReasons = {
  finished: "all steps are done",
  drained: "the coordinator stopped",
  regrouped: "the next attempt has another number of workers",
  batch_skipped: "the next attempt skips the batch",
  stopped: "the job was stopped",
} as const;

function evictionText(reason: EvictionReason, waited_ms: number): string {
  const after = `for ${(waited_ms / 1000).toFixed(1)} s`;
  switch (reason) {
    case "no_heartbeat":
      return `sent no heartbeat ${after}`;
    case "no_answer":
      return `was in a worker group that answered nothing ${after}`;
    case "no_connection":
      return `did not connect to this coordinator ${after}`;
    case "did_not_leave":
      return `did not leave its worker group ${after}`;
    case "not_ready":
      return `did not load its kernels ${after}`;
    default:
      return assertNever(reason);
  }
}

const exitText = (signal: string | undefined, code: number | undefined): string => {
  if (signal !== undefined) return `was ended by ${signal}`;
  return code === undefined ? "ended" : `exited with code ${code}`;
};

const errorText = ({ code, message, place }: EventError): string => `${code}: ${message}${place === undefined ? "" : ` (${place})`}`;
