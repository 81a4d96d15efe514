import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { type Channel, systemRuntime } from "@lapidary/fabric";
import { memoryPair } from "@lapidary/fabric/testing";
import { asJson, type JsonValue, LapidaryError } from "@lapidary/std";
import { epochOf, stepIndex, programHash, type WorkerHello } from "@lapidary/protocol";
import { type ProcessEnd, spawnWorker } from "./host-process.js";
import { startFailure } from "./start-failure.js";
import { WorkerProcess } from "./worker-process.js";

const hello: WorkerHello = { name: "w7", pid: 7, build: "protocol 2 (older)" };

/** A worker process whose answers the test sends on the other end of the channel. */
async function connected(): Promise<{ worker: WorkerProcess; there: Channel; killed: string[]; end: (end: ProcessEnd) => void }> {
  const killed: string[] = [];
  let end: (end: ProcessEnd) => void = () => undefined;
  const ended = new Promise<ProcessEnd>((resolve) => {
    end = resolve;
  });
  const host = { id: { pid: 7, started: "" }, ended, kill: (signal: string) => void killed.push(signal) };
  const worker = new WorkerProcess({ name: "w7", numerics: "f32", host, runtime: systemRuntime, log: () => undefined });
  const [here, there] = await memoryPair({}, { hello: asJson(hello) });
  worker.attach(here, hello);
  return { worker, there, killed, end };
}

/** Answers the first message with the result of `answer` for its number. */
const answerWith = (there: Channel, answer: (id: number) => JsonValue): void =>
  there.onMessage((header) => there.send(answer((header as { readonly id: number }).id)));

const runReply = { step: 0, kernelCalls: 1, total_ms: 1, gemm_ms: 0, otherKernels_ms: 1, fused_ms: 0, fabricWait_ms: 0 };
const run = { kind: "run", epoch: epochOf(1), step: stepIndex(0), program: programHash("p") } as const;

describe("a worker process", () => {
  it("a request resolves to the decoded reply", async () => {
    const { worker, there, killed } = await connected();
    answerWith(there, (id) => ({ kind: "reply", id, reply: runReply }));
    deepStrictEqual((await worker.request<"run">(run)).reply, runReply);
    deepStrictEqual([worker.pending, worker.answers, killed], [0, 1, []]);
    await there.close();
  });

  for (const [what, answer, field] of [
    ["a reply without a field", (id: number): JsonValue => ({ kind: "reply", id, reply: { ...runReply, gemm_ms: null } }), "gemm_ms"],
    ["a reply with an unknown field", (id: number): JsonValue => ({ kind: "reply", id, reply: { ...runReply, gpu_ms: 1 } }), "gpu_ms"],
    ["an answer of an unknown kind", (id: number): JsonValue => ({ kind: "maybe", id }), "kind"],
    ["an answer without a number", (): JsonValue => ({ kind: "reply", reply: runReply }), "id"],
  ] as const)
    it(`a worker is killed after ${what}, and every request fails with the field and the build of the worker`, async () => {
      const { worker, there, killed, end } = await connected();
      answerWith(there, answer);
      const requests = [worker.request<"run">(run), worker.request<"stats">({ kind: "stats", epoch: epochOf(1) })];
      for (const request of requests)
        await rejects(request, (error: unknown) => {
          ok(error instanceof LapidaryError);
          deepStrictEqual([error.code, error.location], ["LAP_PROTOCOL_MALFORMED", field]);
          ok(error.message.startsWith("worker w7 of build protocol 2 (older) sent a malformed"), error.message);
          return true;
        });
      deepStrictEqual(killed, ["SIGKILL"]);
      end({ code: null, signal: "SIGKILL" });
      strictEqual((await worker.exited).signal, "SIGKILL");
    });

  it("a worker is killed after a malformed heartbeat", async () => {
    const { worker, killed } = await connected();
    const [here, there] = await memoryPair({}, { hello: asJson({ ...hello, pulse: true }) });
    worker.watch(here, hello);
    there.send({ turns: 3 });
    there.send({ turns: "many" });
    await there.closed;
    await new Promise(setImmediate);
    strictEqual(worker.eventLoopTicks, 3);
    deepStrictEqual(killed, ["SIGKILL"]);
    await rejects(worker.ready, /worker w7 of build protocol 2 \(older\) sent a malformed heartbeat, field turns/);
  });

  it("a worker that cannot start is reported with the code and remedy of its error", async () => {
    const { worker, end } = await connected();
    const cause = new LapidaryError({
      code: "LAP_WORKER_OPCODES",
      message: "the compiled kernels belong to another version",
      location: "k.node",
    });
    end({ code: 1, signal: null, cause });
    await rejects(worker.ready, {
      code: "LAP_WORKER_START",
      message: "worker w7 did not start: LAP_WORKER_OPCODES (k.node): the compiled kernels belong to another version",
      remedy: "compile them again: `lapidary setup build kernels`",
      cause,
    });
  });

  it("the process of a worker ends with the error that the worker logs", async () => {
    const lines: string[] = [];
    const { ended } = spawnWorker({
      name: "w8",
      socket: `/tmp/${"x".repeat(200)}`,
      numerics: "f32",
      environment: process.env,
      lease_s: 0,
      log: (line) => lines.push(line),
    });
    const { code, signal, cause } = await ended;
    deepStrictEqual([code, signal], [1, null]);
    ok(cause instanceof LapidaryError, lines.join("\n"));
    deepStrictEqual([cause.code, cause.isRecoverable, lines.length], ["LAP_FABRIC_PATH", false, 1]);
  }).timeout(20_000);

  it("a log line without an error, or one that is not JSON, gives no cause", () => {
    for (const line of ["Error: failure", '{"failure":', '{"message":"failure"}', '{"failure":7}', '"failure"', "null"])
      strictEqual(startFailure(line), undefined, line);
  });
});
