import type { Clock } from "@lapidary/std";
import type { TrainRow } from "@lapidary/api";
import type { NewRun } from "../runs/run-store.js";

/** Each read is a second later. */
export function steppingClock(): Clock {
  let now = 1_700_000_000_000;
  const next = (): number => (now += 1000);
  return { now: next, monotonic: next };
}

export function newRun(name: NewRun["name"], change: Partial<NewRun> = {}): NewRun {
  return {
    name,
    jobFile: '{"model":"nano"}\n',
    priority: 0,
    queue_id: "q",
    fingerprint: "f",
    job: { model: "nano" },
    model: "nano",
    pod: "v5e-256",
    mesh: "data=16,model=16",
    chips: 256,
    steps: 10,
    ...change,
  };
}

export function trainRow(step: number): TrainRow {
  return {
    kind: "train",
    time: step,
    step,
    loss: 5 - step / 100,
    grad_norm: 1,
    learning_rate: 1e-3,
    tokens_per_s: 1000,
    step_ms: 10,
    eta_s: 1,
  };
}
