/**
 * A cluster for fault injection: a state directory with a corpus, and real coordinators that serve it one after the other. Each coordinator is a process
 * with its own Redis and workers.
 */

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readManifest } from "../../packages/checkpoint/dist/checkpoint-store.js";
import { nodeDisk } from "../../packages/checkpoint/dist/disk.js";
import { CoordinatorClient, findConnection } from "../../packages/api/dist/client.js";
import { orphanedWorkers, registryPath } from "../../packages/api/dist/home/worker-registry.js";
import { readStepLog } from "../../packages/checkpoint/dist/step-log.js";
import { runEventsIn } from "../../packages/api/dist/run-events.js";
import { readJournal } from "../../packages/telemetry/dist/runs/journal.js";
import { seededRandom } from "../../packages/std/dist/index.js";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Longer than any job of a fault case takes on a busy machine. */
export const defaultTimeout_ms = 180_000;

/** @param {number} ms */
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Polls until `look` returns a value.
 *
 * @template T
 * @param {string} what
 * @param {() => T | undefined | false | Promise<T | undefined | false>} look
 * @returns {Promise<T>}
 */
export async function waitFor(what, look, timeout_ms = defaultTimeout_ms) {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeout_ms} ms for ${what}`);
    await sleep(10);
  }
}

/** @typedef {import("../../packages/api/dist/run-events.js").TimedEvent} RunEvent */

/**
 * @typedef {{ readonly state: string, readonly code: string | undefined, readonly message: string, readonly place: string, readonly commits: { step: number, digest: string, loss: number }[], readonly digest: string,
 *   readonly tensors: string, readonly rows: number[], readonly events: readonly RunEvent[], readonly skippedEvents: number, readonly goodput: any }} RunResult
 */

/** The C++ compiler of set-up, if there is one. */
const compiler = [process.env.CXX, "c++", "g++", "clang++"].find(
  (name) => name !== undefined && spawnSync(name, ["--version"]).status === 0,
);
/** Whether fault_preload.cc can be used here: it needs Linux and a compiler. */
export const hasFaultPreload = process.platform === "linux" && compiler !== undefined;

export class TestCluster {
  #isRemoved = false;

  /** @param {{ readonly corpus?: string, readonly cache?: string, readonly home?: string }} shared a corpus and a cache that several clusters may share */
  constructor(shared = {}) {
    this.directory = mkdtempSync(join(tmpdir(), "lapidary-faults-"));
    this.home = shared.home ?? join(this.directory, "home");
    this.fired = join(this.directory, "fired");
    mkdirSync(this.home, { recursive: true, mode: 0o700 });
    this.corpus = shared.corpus ?? writeCorpus(join(this.directory, "corpus"));
    /** @type {import("node:child_process").ChildProcess | undefined} */
    this.coordinator = undefined;
    this.stderr = "";
  }

  /**
   * @param {{ readonly failpoints?: string, readonly workers?: number, readonly flags?: readonly string[], readonly env?: Record<string, string> }} options
   */
  async start({ failpoints = "", workers = 2, flags = [], env = {} } = {}) {
    if (this.#isRemoved) throw new Error("the test cluster is being removed");
    const child = spawn(
      process.execPath,
      [join(root, "packages/coordinator/dist/main.js"), "--home", this.home, "--root", root, "--workers", String(workers), ...flags],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, LAPIDARY_FAILPOINTS: failpoints, LAPIDARY_FAILPOINTS_FIRED: this.fired, ...env },
      },
    );
    this.coordinator = child;
    this.stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    this.ended = once(child, "close");
    await waitFor("the coordinator", () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the coordinator exited: ${this.stderr}`);
      return findConnection(this.home)?.pid === child.pid;
    });
    return this.client;
  }

  /**
   * The environment that loads fault_preload.cc into a process and its children. Compiles the library at the first call.
   * @returns {Record<string, string>}
   */
  faultPreload() {
    const library = join(this.directory, "fault_preload.so");
    mkdirSync(join(this.directory, "faults"), { recursive: true });
    mkdirSync(this.fired, { recursive: true });
    if (!existsSync(library)) {
      const { status, stderr } = spawnSync(
        compiler ?? "c++",
        ["-std=c++17", "-O2", "-shared", "-fPIC", join(root, "tools/faults/fault_preload.cc"), "-o", library, "-ldl"],
        { encoding: "utf8" },
      );
      if (status !== 0) throw new Error(`fault_preload.cc does not compile: ${stderr}`);
    }
    return { LD_PRELOAD: library, LAPIDARY_FAULT_DIR: join(this.directory, "faults") };
  }

  /**
   * @param {"fsync" | "clock"} kind @param {string | undefined} what text in the format of fault_preload.cc; undefined removes the fault
   */
  injectFault(kind, what) {
    const path = join(this.directory, "faults", kind);
    if (what === undefined) return rmSync(path, { force: true });
    // Renamed, so that no process reads half of the file.
    writeFileSync(`${path}.new`, what);
    renameSync(`${path}.new`, path);
  }

  get client() {
    return CoordinatorClient.forHome(this.home);
  }

  /** @param {NodeJS.Signals} signal */
  async end(signal = "SIGTERM") {
    const child = this.coordinator;
    if (child === undefined) return undefined;
    child.kill(signal);
    const [code] = (await this.ended) ?? [];
    this.coordinator = undefined;
    return code;
  }

  /** Whether this coordinator has exited by itself. */
  get isDead() {
    return this.coordinator === undefined || this.coordinator.exitCode !== null || this.coordinator.signalCode !== null;
  }

  /** @param {string} id */
  runDirectory(id) {
    return join(this.home, "runs", id);
  }

  /** The failpoints and injected faults that fired, with their times. */
  firings() {
    if (!existsSync(this.fired)) return [];
    return readdirSync(this.fired).map((name) => ({ name, time: Number(readFileSync(join(this.fired, name), "utf8").split(" ")[0]) }));
  }

  /** @param {string} id */
  async workerPids(id) {
    return ((await this.client.get(id)).workers ?? []).map(({ pid }) => pid);
  }

  /** All running worker processes of this state directory: busy, idle or without a coordinator. */
  processesOfWorkers() {
    return orphanedWorkers(registryPath(this.home)).workers.map(({ pid }) => pid);
  }

  redisPid() {
    return Number(readFileSync(join(this.home, "redis/redis.pid"), "utf8"));
  }

  /** @param {{ steps?: number, every?: number, zero?: number, mesh?: string, slice?: string, more?: string, keep?: number, workers?: number,
   *   batch?: number }} job */
  jobFile({
    steps = 12,
    every = 4,
    zero = 3,
    mesh = "{ data: 4, model: 4 }",
    slice = "4x4",
    more = "",
    keep = 3,
    workers = 2,
    batch = 8,
  } = {}) {
    return `model: nano16
pod: v5e-256
slice: ${slice}
mesh: ${mesh}
zero: ${zero}
workers: ${workers}
train:
  steps: ${steps}
  batch: ${batch}
  optimizer: { name: adamw, lr: 3.0e-3 }
data: { corpus: ${this.corpus}, held_out: 0.1 }
checkpoint: { ${every > 0 ? `every: ${every}, ` : ""}keep: ${keep} }
${more}
`;
  }

  /**
   * Waits until a job has ended, also across several coordinators.
   *
   * @param {string} id
   * @returns {Promise<RunResult>}
   */
  async result(id, timeout_ms = defaultTimeout_ms) {
    const job = await waitFor(
      `the end of ${id}`,
      async () => {
        const found = await this.client.get(id).catch(() => undefined);
        return found?.finished_at === undefined ? undefined : found;
      },
      timeout_ms,
    );
    return this.read(id, job);
  }

  /**
   * The events of a run so far, from its journal, because a suspended or dead coordinator answers no request.
   * @param {string} id
   */
  async events(id) {
    return runEventsIn(await readJournal(this.runDirectory(id)));
  }

  /** @param {string} id @param {any} job @returns {Promise<RunResult>} */
  async read(id, job) {
    const { commits } = readStepLog(nodeDisk, this.runDirectory(id));
    const metrics = readFileSync(join(this.runDirectory(id), "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .filter(Boolean);
    const { events, skipped } = await this.events(id);
    return {
      state: job.state,
      code: job.error?.code,
      message: job.error?.message ?? "",
      place: job.error?.place ?? "",
      commits,
      digest: commits.at(-1)?.digest ?? "",
      tensors: await tensorDigest(this.runDirectory(id)),
      rows: metrics.map((line) => JSON.parse(line)).flatMap((row) => (row.kind === "train" ? [row.step] : [])),
      events,
      skippedEvents: skipped,
      goodput: job.goodput,
    };
  }

  /** A killed coordinator leaves its Redis. The pid file is trusted only if the command line of the process contains this state directory. */
  #endRedis() {
    try {
      const pid = this.redisPid();
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(this.home)) process.kill(pid, "SIGKILL");
    } catch {
      // No such file or process: nothing to kill.
    }
  }

  async remove() {
    // A case in flight may be about to start the next coordinator.
    this.#isRemoved = true;
    if (!this.isDead) await this.end();
    for (const pid of this.processesOfWorkers()) process.kill(pid, "SIGKILL");
    this.#endRedis();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * A digest of all tensors in the newest checkpoint of a run.
 * @param {string} run
 */
async function tensorDigest(run) {
  const directory = join(run, "checkpoints");
  const steps = readdirSync(directory)
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number);
  if (steps.length === 0) return "";
  const { files, step } = await readManifest(nodeDisk, join(directory, `step-${Math.max(...steps)}`));
  const sums = ["model.safetensors", "optimizer.safetensors"].map((name) => files[name]?.parts.map((part) => part.crc32).join(""));
  return `step ${step} ${createHash("sha256").update(sums.join(" ")).digest("hex").slice(0, 16)}`;
}

/**
 * Writes sentences of a small vocabulary, always the same.
 * @param {string} directory
 */
export function writeCorpus(directory) {
  mkdirSync(directory, { recursive: true });
  const random = seededRandom(11);
  /** @param {readonly string[]} words */
  const pick = (words) => words[random.integer(words.length)];
  for (let file = 0; file < 4; file++)
    writeFileSync(
      join(directory, `${file}.txt`),
      Array.from(
        { length: 2000 },
        () =>
          `${pick(["the mason", "a jeweller", "my sister"])} ${pick(["cuts", "polishes", "weighs"])} ${pick(["a ruby", "grey slate", "one opal"])} ${pick(["slowly", "at dawn", "for gold"])}.`,
      ).join("\n"),
    );
  return directory;
}
