/**
 * A place to break things in: a home directory with a corpus, and real coordinators that serve it one after the other, each a process of its own with a
 * Redis and workers of its own.
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
import { leftWorkers, registerPath } from "../../packages/api/dist/home/worker-register.js";
import { readLedger } from "../../packages/checkpoint/dist/ledger.js";
import { runEventsIn } from "../../packages/api/dist/run-events.js";
import { readJournal } from "../../packages/telemetry/dist/runs/journal.js";
import { seededRandom } from "../../packages/std/dist/index.js";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Longer than any job of a fault takes, on a machine that others use too. */
export const patience_ms = 180_000;

/** @param {number} ms */
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Looks again and again until there is something.
 *
 * @template T
 * @param {string} what
 * @param {() => T | undefined | false | Promise<T | undefined | false>} look
 * @returns {Promise<T>}
 */
export async function until(what, look, timeout_ms = patience_ms) {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeout_ms} ms for ${what}`);
    await pause(10);
  }
}

/** @typedef {import("../../packages/api/dist/run-events.js").TimedEvent} RunEvent */

/**
 * @typedef {{ readonly state: string, readonly code: string | undefined, readonly message: string, readonly place: string, readonly commits: { step: number, digest: string, loss: number }[], readonly digest: string,
 *   readonly tensors: string, readonly rows: number[], readonly events: readonly RunEvent[], readonly skippedEvents: number, readonly goodput: any }} Ending
 */

/** The C++ compiler of set-up, if there is one. */
const compiler = [process.env.CXX, "c++", "g++", "clang++"].find(
  (name) => name !== undefined && spawnSync(name, ["--version"]).status === 0,
);
/** Whether weather can be made here: a library that comes before libc needs Linux and a compiler. */
export const hasWeather = process.platform === "linux" && compiler !== undefined;

export class Yard {
  #isRemoved = false;

  /** @param {{ readonly corpus?: string, readonly cache?: string, readonly home?: string }} shared a corpus and a cache that several yards may share */
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
    if (this.#isRemoved) throw new Error("the yard is being removed");
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
    await until("the coordinator", () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the coordinator ended: ${this.stderr}`);
      return findConnection(this.home)?.pid === child.pid;
    });
    return this.client;
  }

  /**
   * What lets disks and clocks misbehave in all processes that get it (weather.cc): their environment.
   * @returns {Record<string, string>}
   */
  weather() {
    const library = join(this.directory, "weather.so");
    mkdirSync(join(this.directory, "weather"), { recursive: true });
    mkdirSync(this.fired, { recursive: true });
    if (!existsSync(library)) {
      const { status, stderr } = spawnSync(
        compiler ?? "c++",
        ["-std=c++17", "-O2", "-shared", "-fPIC", join(root, "tools/faults/weather.cc"), "-o", library, "-ldl"],
        { encoding: "utf8" },
      );
      if (status !== 0) throw new Error(`weather.cc does not compile: ${stderr}`);
    }
    return { LD_PRELOAD: library, LAPIDARY_WEATHER: join(this.directory, "weather") };
  }

  /**
   * @param {"fsync" | "clock"} kind @param {string | undefined} what as weather.cc reads it; undefined ends it
   */
  setWeather(kind, what) {
    const path = join(this.directory, "weather", kind);
    if (what === undefined) return rmSync(path, { force: true });
    // Nobody reads half of it.
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

  /** Whether this coordinator has ended by itself. */
  get isDead() {
    return this.coordinator === undefined || this.coordinator.exitCode !== null || this.coordinator.signalCode !== null;
  }

  /** @param {string} id */
  runDirectory(id) {
    return join(this.home, "runs", id);
  }

  /** What fired, and when, by failpoint. */
  firings() {
    if (!existsSync(this.fired)) return [];
    return readdirSync(this.fired).map((name) => ({ name, time: Number(readFileSync(join(this.fired, name), "utf8").split(" ")[0]) }));
  }

  /** @param {string} id */
  async workerPids(id) {
    return ((await this.client.get(id)).workers ?? []).map(({ pid }) => pid);
  }

  /** All worker processes of this home that run, whether they are at work, wait, or have lost their coordinator. */
  processesOfWorkers() {
    return leftWorkers(registerPath(this.home)).workers.map(({ pid }) => pid);
  }

  redisPid() {
    return Number(readFileSync(join(this.home, "redis/redis.pid"), "utf8"));
  }

  /** @param {{ steps?: number, every?: number, zero?: number, mesh?: string, slice?: string, more?: string, keep?: number, workers?: number }} job */
  jobFile({ steps = 12, every = 4, zero = 3, mesh = "{ data: 4, model: 4 }", slice = "4x4", more = "", keep = 3, workers = 2 } = {}) {
    return `model: nano16
pod: v5e-256
slice: ${slice}
mesh: ${mesh}
zero: ${zero}
workers: ${workers}
train:
  steps: ${steps}
  batch: 8
  optimizer: { name: adamw, lr: 3.0e-3 }
data: { corpus: ${this.corpus}, held_out: 0.1 }
checkpoint: { ${every > 0 ? `every: ${every}, ` : ""}keep: ${keep} }
${more}
`;
  }

  /**
   * Waits for the end of a job over any number of coordinators.
   *
   * @param {string} id
   * @returns {Promise<Ending>}
   */
  async ending(id, timeout_ms = patience_ms) {
    const job = await until(
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
   * The events of a run so far, from its journal: a coordinator that sleeps or is dead answers nothing.
   * @param {string} id
   */
  async events(id) {
    return runEventsIn(await readJournal(this.runDirectory(id)));
  }

  /** @param {string} id @param {any} job @returns {Promise<Ending>} */
  async read(id, job) {
    const { commits } = readLedger(nodeDisk, this.runDirectory(id));
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

  /** A coordinator that was killed leaves its Redis; the number in a pid file is believed only of a process that names this home. */
  #endRedis() {
    try {
      const pid = this.redisPid();
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(this.home)) process.kill(pid, "SIGKILL");
    } catch {
      // No such file or process: there is nothing to end.
    }
  }

  async remove() {
    // A case that is under way may be about to start the next coordinator.
    this.#isRemoved = true;
    if (!this.isDead) await this.end();
    for (const pid of this.processesOfWorkers()) process.kill(pid, "SIGKILL");
    this.#endRedis();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * One digest of all numbers in the newest checkpoint of a run.
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
 * Sentences of a small vocabulary, the same every time.
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
