import { deepStrictEqual, equal, match } from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitCode } from "@lapidary/std";
import { runCli } from "../testing/cli-process.js";
import { type FakeCoordinator, fakeCoordinator } from "../testing/fake-coordinator.js";
import { cancelledJob, doneJob, failedJob, mistakenJob } from "../testing/jobs.js";

const jobFile = `
model: { vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 16 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
train: { steps: 20, batch: 4, optimizer: { name: adamw, lr: 0.001 } }
data: { corpus: text.txt }
`;

describe("commands that use the coordinator", () => {
  let directory: string;
  let coordinator: FakeCoordinator | undefined;
  const cli = (...args: string[]): ReturnType<typeof runCli> =>
    runCli([...args, "--home", coordinator?.home ?? directory], { cwd: directory });
  const serve = async (...jobs: Parameters<typeof fakeCoordinator>[0]): Promise<FakeCoordinator> => {
    coordinator = await fakeCoordinator(jobs);
    return coordinator;
  };
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-"));
    writeFileSync(join(directory, "job.yaml"), jobFile);
    writeFileSync(join(directory, "text.txt"), Array.from({ length: 40 }, (_, i) => `Line ${i} of a text.\n\n`).join(""));
  });
  afterEach(async () => {
    await coordinator?.close();
    coordinator = undefined;
    rmSync(directory, { recursive: true });
  });

  it("launch resolves the job in the current directory, submits it, and prints its report", async () => {
    const { submitted } = await serve(doneJob);
    const { code, stdout, stderr } = await cli("launch", "job.yaml", "train.steps=30", "--name", "mine", "--priority", "-2");
    equal(code, ExitCode.done, stderr);
    match(stdout, /Training loss[^]*held-out loss {2}3\.212[^]*unigram loss {3}6\.031[^]*What each chip held[^]*step-200/);
    match(stderr, /train the tokenizer: 31%\n[^]*train: step 2\/2 {2}loss 3\.100[^]*held-out loss 3\.200, unigram 6\.000/);
    const [{ job, yaml, name, priority } = {}] = submitted;
    deepStrictEqual([name, priority], ["mine", -2]);
    const { train, data } = job as { readonly train: { readonly steps: number }; readonly data: { readonly corpus: string } };
    deepStrictEqual([train.steps, data.corpus, yaml], [30, join(directory, "text.txt"), undefined]);
  });

  it("launch writes TensorBoard events while it follows a job, and refuses them with -d", async () => {
    await serve(doneJob);
    const { code, stderr } = await cli("launch", "job.yaml", "--tensorboard", "board");
    equal(code, ExitCode.done, stderr);
    const files = readdirSync(join(directory, "board/quickstart-1"));
    equal(files.length, 1);
    const text = readFileSync(join(directory, "board/quickstart-1", files[0] ?? ""), "latin1");
    match(text, /brain\.Event:2[^]*train\/loss[^]*eval\/heldout_loss/);
    const refused = await cli("launch", "job.yaml", "-d", "--tensorboard", "board");
    equal(refused.code, ExitCode.usage);
    match(refused.stderr, /does not follow[^]*export-run/);
  });

  it("launch prints one JSON document for a job that is done, detached or failed", async () => {
    await serve(doneJob);
    const whole = JSON.parse((await cli("launch", "job.yaml", "--json")).stdout) as Record<string, unknown>;
    deepStrictEqual([whole["id"], whole["state"], whole["report"]], ["quickstart-1", "done", doneJob.report]);
    deepStrictEqual(JSON.parse((await cli("launch", "job.yaml", "-d", "--json")).stdout), {
      id: "quickstart-1",
      state: "queued",
      existed: false,
      warnings: [],
    });
    await coordinator?.close();
    await serve(failedJob);
    const { stdout } = await cli("launch", "job.yaml", "--json");
    deepStrictEqual(JSON.parse(stdout), {
      error: {
        code: "LAP_WORKER_LOST",
        message: "the job failed: worker 0 was ended by SIGKILL",
        place: "worker 0",
        remedy: "read its logs",
      },
    });
  });

  it("launch exits with 100 for a failed job, with 2 for an error in the job that only the run found, with 103 for a cancelled job", async () => {
    for (const [job, expected] of [
      [failedJob, ExitCode.jobFailed],
      [mistakenJob, ExitCode.usage],
      [cancelledJob, ExitCode.cancelled],
    ] as const) {
      await serve(job);
      equal((await cli("launch", "job.yaml")).code, expected);
      await coordinator?.close();
    }
    coordinator = undefined;
  });

  it("jobs wait reports the end by exit code and JSON", async () => {
    await serve(doneJob, failedJob, cancelledJob);
    const wait = async (id: string): Promise<unknown[]> => {
      const { code, stdout } = await cli("jobs", "wait", id, "--json");
      const { state, failure } = JSON.parse(stdout) as { state?: string; failure?: { code: string } | null };
      return [code, state, failure?.code];
    };
    deepStrictEqual(await wait("quickstart-1"), [ExitCode.done, "done", undefined]);
    deepStrictEqual(await wait("broken"), [ExitCode.jobFailed, "failed", "LAP_WORKER_LOST"]);
    deepStrictEqual(await wait("dropped"), [ExitCode.cancelled, "cancelled", undefined]);
    equal((await cli("jobs", "wait", "unknown")).code, ExitCode.notFound);
  });

  it("jobs lists and shows jobs, and events and logs print one line per event", async () => {
    await serve(doneJob, failedJob);
    match((await cli("jobs")).stdout, /^id +state[^]*\nquickstart-1 +done[^]*\nbroken +failed/);
    match((await cli("jobs", "get", "broken")).stdout, /state +failed\n[^]*LAP_WORKER_LOST: worker 0[^]*remedy: read its logs/);
    const events = (await cli("jobs", "events", "broken", "--json")).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string });
    deepStrictEqual(
      events.map(({ event }) => event),
      ["state", "state", "state", "metrics", "log", "metrics", "metrics", "done"],
    );
    match((await cli("logs", "broken")).stdout, /worker 1 +warm\n$/);
    equal((await cli("logs", "broken", "-f", "--worker", "0")).stdout, "");
    match((await cli("status")).stdout, /128 of 256 chips free[^]*\na +0 +8x16 +0,0 +- +0\n$/);
  });

  it("jobs get and top name a straggler and the command that shows its calls", async () => {
    const times = [100, 140].map((ms) => ({ total_ms: 200, gemm_ms: ms, other_ms: 0, wait_ms: 200 - ms }));
    const workerSteps = [1, 2, 3].map((step) => ({ step, times }));
    await serve({ ...doneJob, workerSteps, detail: { ...doneJob.detail, state: "running" } });
    const problem = /worker 1 is a straggler: busy 140 ms[^]*lapidary trace quickstart-1 -o quickstart-1\.json/;
    match((await cli("jobs", "get", "quickstart-1")).stdout, problem);
    match((await cli("top", "--once")).stdout, problem);
    const { advice } = JSON.parse((await cli("jobs", "get", "quickstart-1", "--json")).stdout) as { advice: { kind: string }[] };
    deepStrictEqual(
      advice.map(({ kind }) => kind),
      ["straggler"],
    );
  });

  it("jobs list refuses an unknown state", async () => {
    await serve();
    const { code, stderr } = await cli("jobs", "list", "--state", "don");
    equal(code, ExitCode.usage);
    match(stderr, /place: {2}--state\n {4}remedy: did you mean "done"\?/);
  });
});
