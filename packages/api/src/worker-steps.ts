import { appendFileSync, closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RunReport } from "@lapidary/protocol";
import { encodeWorkerSteps, FrameReader, type WorkerStep } from "./frames.js";

/**
 * `worker-steps.bin` of a run's directory: the times of all workers in every step, one frame for each step. Frames have equal sizes, so any range is read by
 * its offset. No decision depends on the file, so a lost end costs nothing.
 *
 * Invariant: all frames have the same number of workers. A worker group of another size begins a new file.
 */
const workerStepsFile = (directory: string): string => join(directory, "worker-steps.bin");

export class WorkerStepLog {
  readonly #path: string;
  #workers = 0;

  constructor(directory: string) {
    this.#path = workerStepsFile(directory);
  }

  append(step: WorkerStep): void {
    const workers = step.times.length;
    if (workers !== this.#workers && existsSync(this.#path) && workersOf(this.#path) !== workers) rmSync(this.#path);
    this.#workers = workers;
    appendFileSync(this.#path, encodeWorkerSteps(workers, [step]), { mode: 0o600 });
  }
}

/** Appends a train step, which workers number from 0 and metrics from 1. */
export const workerStepOf = ({ step, workers }: Pick<RunReport, "step" | "workers">): WorkerStep => ({
  step: step + 1,
  times: workers.map(({ total_ms, gemm_ms, otherKernels_ms, fabricWait_ms }) => ({
    total_ms,
    gemm_ms,
    other_ms: otherKernels_ms,
    wait_ms: fabricWait_ms,
  })),
});

/** Reads the bytes appended since the last call, in chunks of bounded size. */
export class WorkerStepTail {
  readonly #path: string;
  #at = 0;
  #reader = new FrameReader();

  constructor(directory: string) {
    this.#path = workerStepsFile(directory);
  }

  read(): WorkerStep[] {
    if (!existsSync(this.#path)) return [];
    const file = openSync(this.#path, "r");
    try {
      const { size } = fstatSync(file);
      if (size < this.#at) {
        this.#at = 0;
        this.#reader = new FrameReader();
      }
      const steps: WorkerStep[] = [];
      while (this.#at < size) {
        const piece = Buffer.alloc(Math.min(1 << 20, size - this.#at));
        const got = readSync(file, piece, 0, piece.length, this.#at);
        if (got === 0) break;
        this.#at += got;
        for (const frame of this.#reader.push(piece.subarray(0, got))) if (frame.kind === "worker steps") steps.push(...frame.steps);
      }
      return steps;
    } finally {
      closeSync(file);
    }
  }

  /** Skips the existing bytes, so that only later frames are read. */
  skip(): void {
    this.#at = existsSync(this.#path) ? wholeFrames(this.#path) : 0;
  }
}

/**
 * Steps `from` to `to`, at most `points` of them: of neighbouring steps, the one with the slowest worker.
 */
export function readWorkerSteps(directory: string, from: number, to: number, points: number): { workers: number; steps: WorkerStep[] } {
  const path = workerStepsFile(directory);
  if (!existsSync(path)) return { workers: 0, steps: [] };
  const steps: WorkerStep[] = [];
  let workers = 0;
  for (const frame of new FrameReader().push(readFileSync(path))) {
    if (frame.kind !== "worker steps") continue;
    workers = frame.workers;
    for (const step of frame.steps) {
      // A run that goes back to a checkpoint repeats steps.
      while ((steps.at(-1)?.step ?? 0) >= step.step) steps.pop();
      if (step.step <= to) steps.push(step);
    }
  }
  const wanted = steps.filter(({ step }) => step >= from);
  return { workers, steps: slowestOf(wanted, points) };
}

function slowestOf(steps: readonly WorkerStep[], points: number): WorkerStep[] {
  if (steps.length <= points) return [...steps];
  const width = Math.ceil(steps.length / points);
  return Array.from({ length: Math.ceil(steps.length / width) }, (_, i) =>
    steps.slice(i * width, (i + 1) * width).reduce((worst, step) => (longest(step) > longest(worst) ? step : worst)),
  );
}

const longest = ({ times }: WorkerStep): number => Math.max(...times.map(({ total_ms }) => total_ms));

function workersOf(path: string): number {
  const file = openSync(path, "r");
  try {
    const head = Buffer.alloc(12);
    return readSync(file, head, 0, 12, 0) < 12 ? 0 : head.readUInt32LE(8);
  } finally {
    closeSync(file);
  }
}

function wholeFrames(path: string): number {
  const workers = workersOf(path);
  if (workers === 0) return 0;
  const file = openSync(path, "r");
  try {
    const frame = encodeWorkerSteps(workers, [{ step: 0, times: [] }]).length;
    return Math.floor(fstatSync(file).size / frame) * frame;
  } finally {
    closeSync(file);
  }
}
