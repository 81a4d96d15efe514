/** Lapidary's side of a measurement: a worker group that runs the step of a case. Steps are dispatched ahead, as the coordinator does. */
import { readFileSync } from "node:fs";
import { batchOf, programsOf } from "./case.mjs";
import { median } from "../median.mjs";

const built = (/** @type {string} */ name) => import(new URL(`../../packages/${name}`, import.meta.url).href);

/** `seconds`: the median of its steps, each from the end of the previous step, as for JAX; `mean_s`: the mean, including the time between steps. @typedef {{ readonly seconds: number, readonly mean_s: number, readonly cpu_s: number, readonly split: Split }} Burst  of one step; CPU of all our processes */
/** Milliseconds of a step: means over workers; `dispatch` is the CPU time that sending a step takes, the median of steps (the workers that it wakes compete with it for the processor), `coordinator` the CPU time of the whole dispatching process. @typedef {{ gemm: number, fused: number, other: number, wait: number, dispatch: number, coordinator: number, idle: number }} Split */

export class Ours {
  /**
   * Compiles, starts workers, loads the program and initialises the state.
   * @param {import("./case.mjs").Case} which
   * @param {{ workers: number, remat?: string }} options
   */
  static async start(which, { workers, remat }) {
    const { job, step, init, stateNames, compile_s } = await programsOf(which, remat === undefined ? {} : { remat });
    const { WorkerGroup, WorkerPool } = await built("cluster/dist/index.js");
    const watch = new MemoryWatch();
    const pool = await WorkerPool.start({
      environment: process.env,
      warm: 0,
      numerics: which.numerics,
      log: (/** @type {string} */ worker, /** @type {string} */ line) => process.stderr.write(`${worker}: ${line}\n`),
    });
    const group = await WorkerGroup.start(pool, { runId: "bench", epoch: 1, mesh: step.mesh, workers, numerics: which.numerics });
    const ours = new Ours(pool, group, job, step, stateNames, compile_s);
    await ours.#prepare(init);
    ours.peak_mb = Math.max(ours.peak_mb, watch.end());
    return ours;
  }

  /** @param {any} pool @param {any} group @param {any} job @param {any} program @param {string[]} stateNames @param {number} compile_s */
  constructor(pool, group, job, program, stateNames, compile_s) {
    Object.assign(this, { pool, group, job, program, compile_s });
    this.pool = pool;
    this.group = group;
    this.job = job;
    this.program = program;
    this.compile_s = compile_s;
    this.stateNames = stateNames;
    this.steps = 0;
    this.load_s = 0;
    this.peak_mb = 0;
    this.hash = "";
    /** @type {number[]} */
    this.losses = [];
  }

  /** @param {any} init */
  async #prepare(init) {
    const { group } = this;
    const first = await group.load(init);
    const before = performance.now();
    this.hash = await group.load(this.program);
    this.load_s = (performance.now() - before) / 1000;
    const state = new Map(this.stateNames.map((/** @type {string} */ name) => [name, name]));
    await group.run(group.bind(first, { inputs: new Map(), outputs: state }), { step: 0 });
    const batch = Object.entries(batchOf(this.job));
    this.bound = group.bind(this.hash, {
      inputs: new Map([...state, ...batch.map(([name]) => /** @type {[string, string]} */ ([name, name]))]),
      outputs: state,
      donate: this.stateNames,
      scalars: ["loss"],
    });
    for (const [name, array] of batch) await group.put(group.parameter(this.hash, name), array);
    // Warm-up: Node compiles code, and buffers grow to their size.
    await this.burst(2);
    this.losses = [];
  }

  get workers() {
    return this.group.size;
  }

  /**
   * Sends several steps together and runs them.
   * @param {number} steps
   * @param {{ interval?: any }} [options] `interval`: decides after which steps the workers store replicas
   * @returns {Promise<Burst>}
   */
  async burst(steps, { interval } = {}) {
    const { group } = this;
    const before = performance.now();
    const cpu = process.cpuUsage();
    const workersCpu = this.#workersCpu_s();
    const reports = [];
    /** @type {Promise<void>[]} */
    const copies = [];
    /** @type {number[]} */
    const sent_ms = [];
    /** @type {number[]} */
    const ended = [];
    for (let i = 0; i < steps; i++) {
      const began = process.cpuUsage();
      const report = group.run(this.bound, { step: this.steps++ });
      reports.push(
        report.then((/** @type {any} */ done) => {
          ended.push(performance.now());
          return done;
        }),
      );
      const sent = process.cpuUsage(began);
      sent_ms.push((sent.user + sent.system) / 1000);
      if (interval?.isDue(this.steps) === true)
        copies.push(
          group
            .replicate(this.steps, this.stateNames, this.steps - 1)
            .then((/** @type {{ ms: number }} */ { ms }) => interval.replicationTook(ms)),
        );
    }
    const done = await Promise.all(reports);
    await Promise.all(copies);
    const mean_s = (performance.now() - before) / 1000 / steps;
    if (interval !== undefined) for (let i = 0; i < steps; i++) interval.stepTook(1000 * mean_s);
    const seconds = median(ended.map((at, i) => (at - (ended[i - 1] ?? before)) / 1000));
    const { user, system } = process.cpuUsage(cpu);
    const cpu_s = (this.#workersCpu_s() - workersCpu + (user + system) / 1e6) / steps;
    this.losses.push(...done.map(({ scalars }) => scalars.get("loss")));
    this.peak_mb = Math.max(this.peak_mb, this.#memory_mb());
    const replies = done.flatMap(({ workers }) => workers);
    const mean = (/** @type {string} */ field) => replies.reduce((sum, reply) => sum + reply[field], 0) / replies.length;
    return {
      seconds,
      mean_s,
      cpu_s,
      split: {
        gemm: mean("gemm_ms"),
        fused: mean("fused_ms"),
        other: mean("otherKernels_ms"),
        wait: mean("fabricWait_ms"),
        dispatch: median(sent_ms),
        coordinator: (user + system) / 1000 / steps,
        idle: Math.max(0, ((ended.at(-1) ?? before) - before) / steps - mean("total_ms")),
      },
    };
  }

  /**
   * Memory of the workers and of this process, which dispatches: pages that several processes map (the library of TensorFlow) are counted once, as
   * in the PSS of the system.
   */
  #memory_mb() {
    return [process.pid, ...this.group.pids].reduce((sum, pid) => sum + pss_mb(pid), 0);
  }

  #workersCpu_s() {
    return this.group.pids.reduce((/** @type {number} */ sum, /** @type {number} */ pid) => sum + cpu_s(pid), 0);
  }

  async close() {
    await this.group.close();
    await this.pool.close();
  }
}

/** @returns {number[]} processes that this one has started */
const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);

/** Peak memory of this process and the children that it starts during the measurement: workers that start, load and compute for the first time. */
class MemoryWatch {
  #peak_mb = 0;
  /** Workers of another measurement. */
  #others = new Set(children());
  #timer = setInterval(() => this.#look(), 20);

  #look() {
    this.#peak_mb = Math.max(
      this.#peak_mb,
      [process.pid, ...children().filter((pid) => !this.#others.has(pid))].reduce((sum, pid) => sum + pss_mb(pid), 0),
    );
  }

  /** @returns the peak, in MB */
  end() {
    clearInterval(this.#timer);
    this.#look();
    return this.#peak_mb;
  }
}

/** @param {number} pid */
function pss_mb(pid) {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) / 1024;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code === "ENOENT" || code === "EACCES") return 0;
    throw error;
  }
}

/** User and system time, counted in hundredths of a second. @param {number} pid */
export function cpu_s(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return 0;
    throw error;
  }
}
