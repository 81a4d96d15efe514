import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isOfType } from "@lapidary/api/run-events";
import { type Ended, Home, root } from "./support/cli.js";

interface ExpectedError {
  readonly exit: number;
  readonly code: string;
  /** Part of the place. */
  readonly place: string;
  readonly remedy: RegExp;
}

/** Asserts that a command failed: the exit code, only the error as JSON on stdout, and the error as text on stderr. */
function assertError({ code, stdout, stderr }: Ended, expected: ExpectedError): void {
  const lines = stdout.trim().split("\n");
  assert.equal(lines.length, 1, stdout);
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string; place: string; remedy: string } };
  assert.deepEqual([code, error.code], [expected.exit, expected.code], stderr);
  assert.ok(error.place.includes(expected.place), `${error.place} names ${expected.place}`);
  assert.match(error.remedy, expected.remedy);
  assert.ok(stderr.includes(`error ${error.code}: ${error.message}`), stderr);
}

/** A port of this machine without a listener. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

describe("a mistake in a job is reported before anything is started", () => {
  let home: Home;
  before(() => {
    home = new Home();
  });
  after(() => home.clear());

  const cases: readonly (ExpectedError & { readonly what: string; readonly change: readonly [string, string] })[] = [
    {
      what: "an unknown key",
      change: ["zero: 3", "zeros: 3"],
      exit: 2,
      code: "LAP_CONFIG_UNKNOWN_KEY",
      place: "tiny.yaml:5",
      remedy: /did you mean "zero"\?/,
    },
    {
      what: "a key in the wrong place",
      change: ["zero: 3", "batch: 3"],
      exit: 2,
      code: "LAP_CONFIG_UNKNOWN_KEY",
      place: "tiny.yaml:5",
      remedy: /did you mean "train\.batch"\?/,
    },
    {
      what: "a value of the wrong type",
      change: ["steps: 20", "steps: many"],
      exit: 2,
      code: "LAP_CONFIG_VALUE",
      place: "tiny.yaml:6",
      remedy: /train\.steps/,
    },
    {
      what: "a learning rate that is not a number",
      change: ["lr: 0.001", "lr: .nan"],
      exit: 2,
      code: "LAP_CONFIG_VALUE",
      place: "tiny.yaml:6",
      remedy: /lr/,
    },
    { what: "what is not YAML", change: ["zero: 3", "zero: [3"], exit: 2, code: "LAP_CONFIG_YAML", place: "tiny.yaml", remedy: /syntax/ },
    {
      what: "a mesh that does not fill its slice",
      change: ["model: 2 }", "model: 4 }"],
      exit: 4,
      code: "LAP_MESH_DOES_NOT_FILL",
      place: "tiny.yaml:4",
      remedy: /product is 4, such as data=1,model=4/,
    },
    {
      what: "a batch that an axis does not divide",
      change: ["batch: 4", "batch: 5"],
      exit: 4,
      code: "LAP_MESH_INDIVISIBLE",
      place: "tiny.yaml:6",
      remedy: /4 or 6/,
    },
    {
      what: "a slice larger than its pod",
      change: ["zero: 3", "slice: 4x2"],
      exit: 4,
      code: "LAP_SLICE_TOO_LARGE",
      place: "tiny.yaml:5",
      remedy: /within 2x2/,
    },
  ];
  for (const { what, change, ...expected } of cases)
    it(`${what} is reported as ${expected.code}, exit code ${expected.exit}`, async () => {
      const text = readFileSync(home.job, "utf8");
      assert.ok(text.includes(change[0]));
      mkdirSync(join(home.directory, "changed"), { recursive: true });
      writeFileSync(join(home.directory, "changed/tiny.yaml"), text.replace(...change));
      assertError(await home.run("launch", "changed/tiny.yaml", "--json"), expected);
    });

  it("a missing job file and a malformed override are errors", async () => {
    assertError(await home.run("launch", "nothing.yaml", "--json"), {
      exit: 2,
      code: "LAP_JOB_FILE",
      place: "nothing.yaml",
      remedy: /name a job file/,
    });
    assertError(await home.run("launch", home.job, "train.stepps=3", "--json"), {
      exit: 2,
      code: "LAP_CONFIG_UNKNOWN_KEY",
      place: "train.stepps=3",
      remedy: /did you mean "train\.steps"\?/,
    });
    assertError(await home.run("launch", home.job, "steps", "--json"), {
      exit: 2,
      code: "LAP_CONFIG_OVERRIDE",
      place: "steps",
      remedy: /key=value/,
    });
  });

  it("a correct job without a coordinator is an error of its own", async () => {
    assertError(await home.run("launch", home.job, "--json"), {
      exit: 3,
      code: "LAP_COORDINATOR_DOWN",
      place: "coordinator.json",
      remedy: /lapidary up/,
    });
    assert.deepEqual(home.processes(), []);
  });
});

describe("a damaged checkpoint", () => {
  let home: Home;
  let bundle: string;
  beforeEach(() => {
    home = new Home();
    bundle = join(home.directory, "bundle");
    mkdirSync(bundle);
    for (const name of readdirSync(join(root, "e2e/golden/mqa"))) copyFileSync(join(root, "e2e/golden/mqa", name), join(bundle, name));
  });
  afterEach(() => home.clear());

  it("a truncated checkpoint is reported by file and tensor", async () => {
    truncateSync(join(bundle, "model.safetensors"), 100_000);
    const expected = { exit: 2, code: "LAP_SAFETENSORS_TRUNCATED", place: "model.safetensors", remedy: /fetch or write the file again/ };
    assertError(await home.run("parity", "bundle", "--json"), expected);
    assertError(await home.run("ckpt", "verify", "bundle", "--json"), expected);
    assert.deepEqual(home.processes(), []);
  });

  it("a checkpoint whose header is not JSON is reported by file", async () => {
    const path = join(bundle, "model.safetensors");
    const bytes = readFileSync(path);
    bytes[8] = 0x5b;
    writeFileSync(path, bytes);
    assertError(await home.run("parity", "bundle", "--json"), {
      exit: 2,
      code: "LAP_SAFETENSORS_HEADER",
      place: "model.safetensors",
      remedy: /safetensors/,
    });
  });

  it("a checkpoint with a weight that is not finite is reported by file and tensor", async () => {
    const path = join(bundle, "model.safetensors");
    const bytes = readFileSync(path);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(path, bytes);
    assertError(await home.run("ckpt", "verify", "bundle", "--json"), {
      exit: 1,
      code: "LAP_CHECKPOINT_NOT_FINITE",
      place: "tensor",
      remedy: /earlier checkpoint/,
    });
  });
});

describe("a coordinator that is up", function () {
  this.timeout(120_000);
  let home: Home;
  before(async () => {
    home = new Home();
    await home.json("up");
  });
  after(() => home.clear());

  it("a second coordinator of the home does not start", async () => {
    assertError(await home.run("up", "--json"), { exit: 1, code: "LAP_ALREADY_UP", place: home.state, remedy: /lapidary down/ });
    assert.equal((await home.run("status")).code, 0);
  });

  it("a job whose corpus is empty, not UTF-8 or missing fails with exit code 2", async () => {
    const corpus = (name: string): string => join(home.directory, name);
    writeFileSync(corpus("empty.txt"), "");
    writeFileSync(corpus("latin1.txt"), Buffer.from("caf\xe9 ".repeat(5000), "latin1"));
    assertError(await home.run("launch", home.job, "data.corpus=empty.txt", "--json"), {
      exit: 2,
      code: "LAP_DATA_EMPTY",
      place: "empty.txt",
      remedy: /./,
    });
    assertError(await home.run("launch", home.job, "data.corpus=latin1.txt", "--json"), {
      exit: 2,
      code: "LAP_DATA_NOT_UTF8",
      place: "latin1.txt",
      remedy: /UTF-8/,
    });
    assertError(await home.run("launch", home.job, "data.corpus=nowhere", "--json"), {
      exit: 2,
      code: "LAP_DATA_MISSING",
      place: "nowhere",
      remedy: /./,
    });
  });

  it("a job that starts from a checkpoint that is damaged or of another model fails with exit code 2", async () => {
    const init = join(root, "e2e/golden/mqa");
    assertError(await home.run("launch", home.job, `train.init=${init}`, "--json"), {
      exit: 2,
      code: "LAP_INIT_MISMATCH",
      place: "mqa",
      remedy: /model/,
    });
    assertError(await home.run("launch", home.job, `train.init=${home.directory}`, "--json"), {
      exit: 2,
      code: "LAP_CHECKPOINT_MISSING",
      place: "config.json",
      remedy: /Hugging Face/,
    });
  });

  it("a job whose worker is killed continues and reports it, and the next job trains", async () => {
    const launched = home.start("launch", home.job, "train.steps=100000", "--name", "victim");
    await launched.says(/train: step/);
    const { workers } = (await home.json("jobs", "get", "victim")) as { workers: { pid: number }[] };
    const [worker] = workers;
    assert.ok(worker !== undefined);
    process.kill(worker.pid, "SIGKILL");
    const recovered = async (): Promise<boolean> => {
      const job = (await home.json("jobs", "get", "victim")) as {
        state: string;
        workers: { pid: number }[];
        goodput?: { failures: number };
      };
      assert.equal(job.state, "running");
      return (job.goodput?.failures ?? 0) >= 1 && job.workers.length > 0 && job.workers.every(({ pid }) => pid !== worker.pid);
    };
    while (!(await recovered())) assert.equal(launched.child.exitCode, null, launched.stderr);
    const lost = (await home.events("victim")).filter(isOfType("worker_lost"));
    assert.deepEqual(
      lost.map(({ pid }) => pid),
      [worker.pid],
    );
    assert.equal((await home.run("jobs", "cancel", "victim")).code, 0);
    assert.equal((await launched.ended).code, 103);
    const next = await home.json("launch", home.job);
    assert.equal(next["state"], "done");
  });

  it("the exit code distinguishes jobs that ended, that run, and that never existed", async () => {
    assert.equal((await home.run("launch", home.job, "train.steps=100000", "--name", "endless", "-d")).code, 0);
    assertError(await home.run("jobs", "wait", "endless", "--timeout", "0.1", "--json"), {
      exit: 101,
      code: "LAP_JOB_NOT_FINISHED",
      place: "endless",
      remedy: /wait again/,
    });
    assert.equal((await home.run("jobs", "cancel", "endless")).code, 0);
    assert.equal((await home.run("jobs", "wait", "endless")).code, 103);
    assertError(await home.run("jobs", "wait", "endles", "--json"), {
      exit: 102,
      code: "LAP_JOB_UNKNOWN",
      place: "job",
      remedy: /did you mean "endless"\?/,
    });
  });

  it("a job continues after one Ctrl-C in its launch, and the second Ctrl-C cancels it", async () => {
    const launched = home.start("launch", home.job, "train.steps=100000", "--name", "held");
    await launched.says(/train: step/);
    launched.pressCtrlC();
    await launched.says(/detached: run held continues/);
    assert.equal((await launched.ended).code, 130);
    assert.equal((await home.json("jobs", "get", "held"))["state"], "running");
    const again = home.start("launch", home.job, "train.steps=100000", "--name", "held");
    await again.says(/train: step/);
    again.pressCtrlC();
    await again.says(/detached/);
    // Signals within this time of the first signal come from the same key press.
    while (!/cancelling/.test(again.stderr) && again.child.exitCode === null) {
      again.pressCtrlC();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal((await again.ended).code, 103);
    assert.equal((await home.json("jobs", "get", "held"))["state"], "cancelled");
  });

  it("the coordinator restarts its own Redis, runs the next job, and leaves no process", async () => {
    process.kill(Number(readFileSync(join(home.state, "redis/redis.pid"), "utf8")), "SIGKILL");
    const launch = async (): Promise<Ended> => home.run("launch", home.job, "--json");
    // A launch before Redis has restarted is refused with an error.
    let ended = await launch();
    while (ended.code !== 0) {
      assertError(ended, { exit: 3, code: "LAP_REDIS_UNREACHABLE", place: "redis.sock", remedy: /lapidary/ });
      ended = await launch();
    }
    assert.equal((JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "") as { state: string }).state, "done");
    assert.equal((await home.run("down")).code, 0);
    assert.deepEqual(home.processes(), []);
  });
});

describe("a Redis server of another owner", function () {
  this.timeout(120_000);

  it("a launch fails with exit code 3 once the server is gone, and the coordinator can still be stopped", async () => {
    const home = new Home();
    const { redisServerPath } = (await import(pathToFileURL(join(root, "tools/setup/checks.mjs")).href)) as {
      redisServerPath: () => string | undefined;
    };
    const binary = redisServerPath();
    assert.ok(binary !== undefined);
    const port = await freePort();
    const redis = spawn(
      binary,
      ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory-policy", "noeviction", "--dir", home.directory],
      { stdio: "ignore" },
    );
    const gone = new Promise((resolve) => redis.once("exit", resolve));
    try {
      const url = `redis://127.0.0.1:${port}`;
      process.env["REDIS_URL"] = url;
      while ((await home.run("up")).code !== 0) assert.equal(redis.exitCode, null);
      redis.kill("SIGKILL");
      await gone;
      assertError(await home.run("launch", home.job, "--json"), {
        exit: 3,
        code: "LAP_REDIS_UNREACHABLE",
        place: "127.0.0.1",
        remedy: /lapidary|Redis/,
      });
      assert.equal((await home.run("down")).code, 0);
      assert.deepEqual(home.processes(), []);
    } finally {
      delete process.env["REDIS_URL"];
      redis.kill("SIGKILL");
      await home.clear();
    }
  });
});

describe("every process ends", function () {
  this.timeout(120_000);
  let home: Home;
  beforeEach(() => {
    home = new Home();
  });
  afterEach(() => home.clear());

  const start = [
    "start",
    "model={vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 16}",
    "train.seq=16",
    "data.corpus=corpus",
    "data.held_out=0.2",
  ];

  it("without a terminal, the processes end when the quick-start job is done", async () => {
    const { code, stdout, stderr } = await home.run(...start, "train.steps=40");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Training loss[^]*held-out loss[^]*What each chip held[^]*Checkpoint/);
    assert.deepEqual(home.processes(), []);
  });

  for (const [stage, pattern] of [
    ["the coordinator starts", /start Redis/],
    ["the job is prepared", /is being prepared/],
    ["it trains", /train: step/],
  ] as const)
    it(`after Ctrl-C while ${stage}, the exit code is 130 and no process remains`, async () => {
      const started = home.start(...start, "train.steps=100000", "--json");
      await started.says(pattern);
      started.pressCtrlC();
      assertError(await started.ended, { exit: 130, code: "LAP_CLI_INTERRUPTED", place: "lapidary start", remedy: /again/ });
      assert.deepEqual(home.processes(), []);
    });

  it("after Ctrl-C in a parity run, no process remains", async () => {
    const started = home.start("parity", join(root, "e2e/golden/mqa"), "--mesh", "data=2", "--json");
    await started.says(/compile and run/);
    started.pressCtrlC();
    assertError(await started.ended, { exit: 130, code: "LAP_CLI_INTERRUPTED", place: "lapidary parity", remedy: /again/ });
    assert.deepEqual(home.processes(), []);
  });

  it("if the port is taken, no process remains", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const address = taken.address();
    assert.ok(address !== null && typeof address === "object");
    try {
      assertError(await home.run("up", "--port", String(address.port), "--json"), {
        exit: 1,
        code: "LAP_PORT_TAKEN",
        place: `127.0.0.1:${address.port}`,
        remedy: /--port/,
      });
      assert.deepEqual(home.processes(), []);
    } finally {
      taken.close();
    }
  });

  it("`lapidary down` ends all processes, and a second one succeeds", async () => {
    await home.json("up");
    assert.notDeepEqual(home.processes(), []);
    const { stopped } = await home.json("down");
    assert.deepEqual([stopped, home.processes()], [true, []]);
    assert.equal((await home.json("down"))["stopped"], false);
  });

  it("`lapidary down` ends workers that wait for the next coordinator after theirs was killed", async () => {
    await home.json("up");
    const { pid, workers } = (await home.json("status")) as { pid: number; workers: { pid: number }[] };
    assert.ok(workers.length > 0);
    process.kill(pid, "SIGKILL");
    // Its connections and locks are released before it has no entry.
    while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(workers.every((worker) => home.processes().some((line) => line.startsWith(`${worker.pid} `))));
    assert.equal((await home.json("down"))["stopped"], false);
    assert.deepEqual(home.processes(), []);
  });
});
