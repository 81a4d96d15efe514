import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { stepIndex, type RunReport } from "@lapidary/protocol";
import { Journal } from "../runs/journal.js";
import { trainRow } from "../testing/fixtures.js";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Series } from "@lapidary/api/downsample";
import { encodeChips, encodeWorkerSteps, type Frame, FrameReader, type WorkerStep } from "@lapidary/api/frames";
import { maxMetricColumns } from "@lapidary/api/train-series";
import { findLogLines } from "./log-lines.js";
import { historyLimits, RunHistory } from "./run-history.js";
import { isTraced, readStepTraces, StepTraceLog, stepTraceAt, stepTracesFile } from "@lapidary/api/step-traces";
import { readWorkerSteps, WorkerStepLog, WorkerStepTail } from "@lapidary/api/worker-steps";

describe("a series over steps", () => {
  it("a series keeps every extreme when it merges buckets, and never has more buckets than its limit", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 2, max: 40 }),
        (values, capacity) => {
          const series = new Series(["loss"], capacity);
          values.forEach((value, i) => series.add(i + 1, [value]));
          const { min, max, last } = series.column("loss");
          ok(series.length <= capacity);
          strictEqual(Math.min(...min), Math.min(...values));
          strictEqual(Math.max(...max), Math.max(...values));
          strictEqual(last.at(-1), values.at(-1));
          ok(min.every((low, i) => low <= (max[i] ?? 0)));
          strictEqual(series.lastStep, values.length);
        },
      ),
    );
  });

  it("a series continues from its JSON with the same result", () => {
    const [whole, first] = [new Series(["a"], 16), new Series(["a"], 16)];
    for (let step = 1; step <= 100; step++) whole.add(step, [step % 7]);
    for (let step = 1; step <= 60; step++) first.add(step, [step % 7]);
    const second = Series.from(first.toJson(16), ["a"], 16);
    for (let step = 61; step <= 100; step++) second.add(step, [step % 7]);
    deepStrictEqual(second.toJson(16), whole.toJson(16));
  });

  it("a series adds a column for a new name, up to its limit, without values at earlier steps", () => {
    const series = new Series(["a"], 4, 2);
    series.add(1, [1]);
    series.add(2, [2], { x: 5 });
    series.add(3, [3], { y: 7, z: 9, a: 100 });
    deepStrictEqual(series.names, ["a", "x", "y"]);
    deepStrictEqual(
      [series.column("a").last, series.column("x").last, series.column("z").last],
      [[1, 2, 3], [Number.NaN, 5, Number.NaN], []],
    );
    for (let step = 4; step <= 16; step++) series.add(step, [step], { x: step });
    deepStrictEqual(
      [series.width, series.column("x").max, series.column("y").max],
      [4, [5, 8, 12, 16], [7, Number.NaN, Number.NaN, Number.NaN]],
    );
    deepStrictEqual(Series.from(series.toJson(4), ["a"], 4, 2).toJson(4), series.toJson(4));
  });

  it("a series drops the rows after a step that is repeated", () => {
    const series = new Series(["a"], 100);
    for (let step = 1; step <= 50; step++) series.add(step, [0]);
    series.add(31, [9]);
    deepStrictEqual([series.length, series.lastStep, series.column("a").max.at(-1)], [31, 31, 9]);
  });
});

const workerStep = (step: number, workers = 2): WorkerStep => ({
  step,
  times: Array.from({ length: workers }, (_, w) => ({ total_ms: 10 + w, gemm_ms: 5, other_ms: 3, wait_ms: 2 - w })),
});

describe("frames", () => {
  it("the decoder returns the frames that were encoded, for any cuts of the bytes", () => {
    const chips = {
      worker: Uint16Array.from([0, 1, 0]),
      hbm_bytes: Float32Array.from([1, 2, 3]),
      sent_bytes: Float32Array.from([4, 5, 6]),
    };
    const bytes = Buffer.concat([encodeChips(chips), encodeWorkerSteps(2, [workerStep(1), workerStep(2)])]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 }), (cuts) => {
        const reader = new FrameReader();
        const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
        const frames: Frame[] = edges.slice(1).flatMap((edge, i) => reader.push(bytes.subarray(edges[i], edge)));
        deepStrictEqual(frames, [
          { kind: "chips", chips },
          { kind: "worker steps", workers: 2, steps: [workerStep(1), workerStep(2)] },
        ]);
      }),
    );
  });

  it("the decoder rejects foreign bytes, and skips kinds of a later version", () => {
    throws(() => new FrameReader().push(Uint8Array.from([255, 255, 255, 255, 1, 0, 0, 0])), /cannot have/);
    deepStrictEqual(new FrameReader().push(Uint8Array.from([4, 0, 0, 0, 99, 0, 0, 0])), []);
  });
});

describe("the record of workers' steps", () => {
  const directory = temporaryDirectory();

  it("the record is read by range, with the slowest of adjacent steps if there are too many", () => {
    const log = new WorkerStepLog(directory());
    for (let step = 1; step <= 50; step++)
      log.append(
        step === 23
          ? {
              step,
              times: [
                { total_ms: 99, gemm_ms: 0, other_ms: 0, wait_ms: 0 },
                { total_ms: 99, gemm_ms: 0, other_ms: 0, wait_ms: 0 },
              ],
            }
          : workerStep(step),
      );
    strictEqual(readWorkerSteps(directory(), 10, 19, 100).steps.length, 10);
    const few = readWorkerSteps(directory(), 0, 1000, 10).steps;
    ok(few.length <= 10 && few.some(({ step }) => step === 23));
  });

  it("the record returns only frames after the skipped ones, and begins again for a worker group of another size", () => {
    const log = new WorkerStepLog(directory());
    log.append(workerStep(1));
    const tail = new WorkerStepTail(directory());
    tail.skip();
    log.append(workerStep(2));
    deepStrictEqual(
      tail.read().map(({ step }) => step),
      [2],
    );
    new WorkerStepLog(directory()).append(workerStep(1, 4));
    strictEqual(readWorkerSteps(directory(), 0, 10, 10).workers, 4);
  });
});

describe("the history of a run", () => {
  const directory = temporaryDirectory();

  it("the history reads new events once, in order, across both files", () => {
    const journal = new Journal(directory());
    const history = new RunHistory(directory());
    journal.append({ event: "state", data: { time: 1, state: "running" } });
    journal.append({ event: "metrics", data: trainRow(1) });
    journal.append({ event: "log", data: { time: 2, source: "worker 0", line: "x" } });
    deepStrictEqual(
      history.refresh().map(({ id }) => id),
      [1, 2, 3],
    );
    journal.append({ event: "metrics", data: trainRow(2) });
    deepStrictEqual(
      history.refresh().map(({ id }) => id),
      [4],
    );
    deepStrictEqual(history.refresh(), []);
    deepStrictEqual(
      history.since(2)?.map(({ id }) => id),
      [3, 4],
    );
    journal.close();
  });

  it("the history is bounded, truncates endless lines, and reports how much was missed", () => {
    const journal = new Journal(directory());
    const history = new RunHistory(directory());
    journal.append({ event: "log", data: { time: 1, source: "worker 0", line: "y".repeat(1 << 20) } });
    for (let step = 1; step <= historyLimits.recent + 10; step++) journal.append({ event: "metrics", data: trainRow(step) });
    history.refresh();
    ok((history.logs[0]?.line.length ?? 0) < historyLimits.lineLength + 100);
    ok(history.series.length <= historyLimits.buckets);
    strictEqual(history.since(0), undefined);
    strictEqual(history.since(history.lastId - 1)?.length, 1);
    journal.close();
  });

  it("the history has the metrics of a recipe and its samples, in bounded memory, and keeps completions once", () => {
    const journal = new Journal(directory());
    const history = new RunHistory(directory());
    const completions = [{ prompt: "p", completion: "c".repeat(1 << 20), score: 1 }];
    journal.append({ event: "metrics", data: { ...trainRow(1), metrics: { reward: 0.5 } } });
    journal.append({
      event: "log",
      data: {
        time: 1,
        source: "coordinator",
        line: "x",
        run_event: { type: "completions_sampled", step: 1, split: "heldout", completions },
      },
    });
    const events = history.refresh();
    deepStrictEqual([history.series.column("metrics.reward").last, history.samples.samples.map(({ step }) => step)], [[0.5], [1]]);
    ok(JSON.stringify([events, history.samples.samples, history.logs, history.runEvents]).length < 20_000);
    ok(!JSON.stringify([history.logs, history.runEvents]).includes("ccc"));
    const names = Array.from({ length: 500 }, (_, i) => [`m${i}`, i] as const);
    journal.append({ event: "metrics", data: { ...trainRow(2), metrics: Object.fromEntries(names) } });
    history.refresh();
    strictEqual(history.series.names.length, 5 + maxMetricColumns);
    journal.close();
  });

  it("the history waits for the end of a line that is still being written", () => {
    const history = new RunHistory(directory());
    const row = JSON.stringify({ id: 1, ...trainRow(1) });
    appendFileSync(join(directory(), "metrics.jsonl"), row.slice(0, 30));
    deepStrictEqual(history.refresh(), []);
    appendFileSync(join(directory(), "metrics.jsonl"), `${row.slice(30)}\n`);
    strictEqual(history.refresh().length, 1);
  });
});

describe("log lines", () => {
  const directory = temporaryDirectory();

  it("findLogLines finds lines by text and source, newest first, in pages", async () => {
    const journal = new Journal(directory());
    for (let i = 0; i < 30; i++)
      journal.append({ event: "log", data: { time: i, source: i % 2 === 0 ? "worker 0" : "worker 1", line: `Line ${i} <b>` } });
    journal.close();
    const first = await findLogLines(directory(), { text: "line", source: "worker 1", before: 1e9, limit: 5 });
    deepStrictEqual([first.lines[0]?.line, first.lines.length, first.more], ["Line 29 <b>", 5, true]);
    const next = await findLogLines(directory(), { text: "line", source: "worker 1", before: first.lines.at(-1)?.id ?? 0, limit: 100 });
    deepStrictEqual([next.lines.length, next.more], [10, false]);
  });
});

describe("the record of single steps, call by call", () => {
  const directory = temporaryDirectory();
  const calls = [{ kind: "product", op: "dot_general", name: "y", phase: "forward" } as const];
  const worker = (trace?: { began_ms: number; calls_us: number[] }): RunReport["workers"][number] => ({
    step: stepIndex(0),
    kernelCalls: 1,
    total_ms: 1,
    gemm_ms: 1,
    otherKernels_ms: 0,
    fused_ms: 0,
    fabricWait_ms: 0,
    ...(trace === undefined ? {} : { trace }),
  });

  it("the record is read step by step, the last attempt of each, without an incomplete end", () => {
    const log = new StepTraceLog(directory(), calls);
    log.append({ step: stepIndex(1), workers: [worker()] });
    log.append({ step: stepIndex(2), workers: [worker({ began_ms: 5, calls_us: [0, 10, 0] })] });
    const next = new StepTraceLog(directory(), [...calls, ...calls]);
    next.append({ step: stepIndex(2), workers: [worker({ began_ms: 9, calls_us: [0, 10, 0, 10, 11, 1] })] });
    next.append({ step: stepIndex(0), workers: [worker({ began_ms: 9, calls_us: [1, 2, 3] })] }); // of another program
    appendFileSync(stepTracesFile(directory()), '{"kind":"step","step":9');
    deepStrictEqual(readStepTraces(directory()), [
      { step: 3, calls: [...calls, ...calls], workers: [{ began_ms: 9, calls_us: [0, 10, 0, 10, 11, 1] }] },
    ]);
  });

  it("the record returns the newest step up to the requested one", () => {
    const log = new StepTraceLog(directory(), calls);
    for (const step of [4, 9, 14]) log.append({ step: stepIndex(step), workers: [worker({ began_ms: step, calls_us: [0, 10, 0] })] });
    const at = (wanted?: number): unknown => {
      const { steps, trace } = stepTraceAt(directory(), wanted);
      return [steps, trace?.step, trace?.workers[0]?.began_ms];
    };
    deepStrictEqual(at(), [[5, 10, 15], 15, 14]);
    deepStrictEqual(at(12), [[5, 10, 15], 10, 9]);
    // Before the first recorded step, the answer is the first one.
    deepStrictEqual(at(2), [[5, 10, 15], 5, 4]);
  });

  it("isTraced chooses one step of every N, and one at the beginning", () => {
    const steps = (every: number, of: number): number[] =>
      Array.from({ length: of }, (_, i) => i + 1).filter((step) => isTraced(step, every, of));
    deepStrictEqual(steps(100, 250), [3, 100, 200]);
    deepStrictEqual(steps(100, 2), [2]);
    deepStrictEqual(steps(0, 50), []);
    strictEqual(steps(1, 50).length, 50);
  });
});
