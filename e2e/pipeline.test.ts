import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Ended, Home } from "./support/cli.js";

interface Line {
  readonly job?: string;
  readonly id: string;
  readonly state: string;
  readonly report?: { readonly checkpoint: string };
  readonly failure?: { readonly code: string; readonly message: string; readonly place?: string };
  readonly jobs?: readonly { readonly job: string; readonly id: string; readonly state: string }[];
}

const linesOf = ({ stdout }: Ended): Line[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

describe("pipelines of the command line", function () {
  this.timeout(300_000);
  const home = new Home();
  const file = join(home.directory, "two.yaml");
  before(async () => {
    writeFileSync(
      file,
      `jobs:
  base: { file: tiny.yaml }
  tuned: { needs: [base], file: tiny.yaml, overrides: { train.init: base, train.steps: 5 } }
`,
    );
    await home.run("up", "--workers", "1");
  });
  after(() => home.clear());

  const state = async (run: string): Promise<string> => String((await home.json("jobs", "get", run))["state"]);
  const reaches = async (run: string, wanted: string): Promise<void> => {
    while ((await state(run)) !== wanted) await delay(100);
  };
  const losses = async (run: string): Promise<number[]> => {
    const { stdout } = await home.run("jobs", "events", run, "--json");
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; data: { kind?: string; loss?: number } });
    return events.flatMap(({ event, data }) => (event === "metrics" && data.kind === "train" ? [data.loss ?? Number.NaN] : []));
  };
  const ran = async (run: string): Promise<number> => (await home.events(run)).filter(({ type }) => type === "weights_loaded").length;
  const coordinatorPid = (): number => (JSON.parse(readFileSync(join(home.state, "coordinator.json"), "utf8")) as { pid: number }).pid;

  it("the second job starts from the checkpoint of the first, and its losses go on from there", async () => {
    const ended = await home.run("launch", file, "base.train.steps=60", "--name", "good", "--json");
    strictEqual(ended.code, 0, ended.stderr);
    const [base, tuned, last, ...more] = linesOf(ended);
    deepStrictEqual([base?.job, base?.id, base?.state], ["base", "good-base", "done"]);
    deepStrictEqual([tuned?.job, tuned?.id, tuned?.state], ["tuned", "good-tuned", "done"]);
    deepStrictEqual([last?.id, last?.state, more], ["good", "done", []]);
    const loaded = (await home.events("good-tuned")).find(({ type }) => type === "weights_loaded");
    strictEqual(loaded?.type === "weights_loaded" ? loaded.path : undefined, base?.report?.checkpoint);
    const [before, after] = [await losses("good-base"), await losses("good-tuned")];
    const [first = 0, end = 0, continued = 0] = [before[0], before.at(-1), after[0]];
    ok(continued < (first + end) / 2, `${first} … ${end}, then ${continued}`);

    const again = await home.run("launch", file, "base.train.steps=60", "--name", "good");
    ok(again.code === 0 && again.stderr.includes("exists already"), again.stderr);
    ok(/base\s+good-base\s+done/.test((await home.run("jobs", "get", "good")).stdout));
  });

  it("a pipeline whose first job fails exits with 100, and the second job names the first", async () => {
    const ended = await home.run("launch", file, "base.train.optimizer={ name: sgd, lr: 1e30 }", "--name", "bad", "--json");
    strictEqual(ended.code, 100, ended.stderr);
    const [base, tuned, last] = linesOf(ended);
    deepStrictEqual([base?.state, base?.failure?.code], ["failed", "LAP_LOSS_NOT_FINITE"]);
    deepStrictEqual([tuned?.state, tuned?.failure?.code, tuned?.failure?.place], ["failed", "LAP_NEED_FAILED", "bad-base"]);
    strictEqual(last?.state, "failed");
  });

  it("jobs lists what a job waits for, and cancel of a pipeline cancels the jobs that wait", async () => {
    await home.run("launch", file, "base.train.steps=1000000", "--name", "stop", "-d");
    await reaches("stop-base", "running");
    ok((await home.run("jobs")).stdout.includes("waiting for stop-base"));
    deepStrictEqual(await home.json("jobs", "cancel", "stop"), { id: "stop", cancelled: ["stop-tuned"], running: ["stop-base"] });
    strictEqual(await state("stop-tuned"), "cancelled");
    await home.run("jobs", "cancel", "stop-base");
    await reaches("stop-base", "cancelled");
  });

  it("a pipeline goes on after its coordinator is killed while the second job waits", async () => {
    await home.run("launch", file, "base.train.steps=1000", "--name", "killed", "-d");
    await reaches("killed-base", "running");
    process.kill(coordinatorPid(), "SIGKILL");
    strictEqual((await home.run("up", "--workers", "1")).code, 0);
    const base = await home.json("jobs", "get", "killed-base");
    deepStrictEqual([base["resumed"], (await home.json("jobs", "get", "killed-tuned"))["waiting_for"]], [1, ["killed-base"]]);
    strictEqual((await home.run("jobs", "wait", "killed-tuned")).code, 0);
    deepStrictEqual([await ran("killed-tuned"), await state("killed")], [1, "done"]);
  });

  it("a pipeline goes on after Redis lost its data while the second job waits", async () => {
    await home.run("launch", file, "base.train.steps=2500", "--name", "wiped", "-d");
    await reaches("wiped-base", "running");
    const redis = join(home.state, "redis");
    const redisPidFile = join(redis, "redis.pid");
    const pid = Number(readFileSync(redisPidFile, "utf8"));
    process.kill(pid, "SIGSTOP");
    const data = readdirSync(redis).filter((name) => /rdb|appendonly/.test(name));
    ok(data.length > 0, readdirSync(redis).join());
    for (const name of data) rmSync(join(redis, name), { recursive: true });
    process.kill(pid, "SIGKILL");
    const restarted = (): boolean => readFileSync(redisPidFile, "utf8").trim() !== String(pid);
    while (!existsSync(redisPidFile) || !restarted()) await delay(50);
    deepStrictEqual((await home.json("jobs", "get", "wiped-tuned"))["waiting_for"], ["wiped-base"]);
    strictEqual((await home.run("jobs", "wait", "wiped-tuned")).code, 0);
    deepStrictEqual([await ran("wiped-tuned"), await state("wiped")], [1, "done"]);
  });
});
