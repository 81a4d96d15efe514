/** JAX's side of a measurement: bench_jax.py or bench_jax_llama.py as a process that runs steps on command. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chipsOf } from "./case.mjs";

const scriptOf = (/** @type {string} */ name) => join(fileURLToPath(new URL(".", import.meta.url)), name);

export class Jax {
  /**
   * Starts it, and waits until it has compiled and run one step.
   * @param {string} python
   * @param {any} job
   * @param {Pick<import("./case.mjs").Case, "mesh" | "microbatches">} layout with microbatches: the mesh of bench_jax_llama.py
   * @param {(what: string) => void} onPhase
   */
  static async start(python, job, { mesh, microbatches }, onPhase) {
    const { vocabSize: V, modelDim: D, layers: L, heads: N, kvHeads: K, headDim: H, mlpDim: F } = job.model.config;
    const shape = JSON.stringify({ V, D, L, N, K, H, F, T: job.train.seq });
    const args = [
      scriptOf(microbatches === undefined ? "bench_jax.py" : "bench_jax_llama.py"),
      "--shape",
      shape,
      "--mesh",
      mesh.join("x"),
      "--batch",
      String(job.train.batch),
      ...(microbatches === undefined ? (chipsOf({ mesh }) > 1 ? ["--zero3"] : []) : ["--microbatches", String(microbatches)]),
    ];
    const jax = new Jax(spawn(python, args, { stdio: ["pipe", "pipe", "pipe"] }), onPhase);
    await jax.ready;
    return jax;
  }

  /** @param {import("node:child_process").ChildProcessWithoutNullStreams} child @param {(what: string) => void} onPhase */
  constructor(child, onPhase) {
    this.child = child;
    this.peak_mb = 0;
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
      errors = (errors + text).slice(-3000);
    });
    /** @type {((result: any) => void)[]} */
    this.waiting = [];
    this.ready = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const [, kind, json] = /^(PHASE|READY|STEPS) (.*)$/.exec(line) ?? [];
        if (kind === "PHASE") onPhase(JSON.parse(json ?? "").phase);
        if (kind === "READY") resolve(JSON.parse(json ?? ""));
        if (kind === "STEPS") this.waiting.shift()?.(JSON.parse(json ?? ""));
      });
      child.on("exit", (code) => reject(new Error(`the program of JAX ended with code ${code}:\n${errors}`)));
      child.on("error", reject);
    });
    // After an interruption, the process must not run any more steps.
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    this.ended = new Promise((resolve) =>
      child.on("exit", (code) => {
        process.off("exit", kill);
        resolve(code);
      }),
    );
  }

  /**
   * The process is suspended between its bursts. Its hundreds of threads use up to a fifth of the cores while they wait, which would slow down the other side.
   *
   * @param {number} steps @returns {Promise<{ seconds: number, cpu_s: number }>} medians of the steps */
  async burst(steps) {
    /** @type {Promise<{ seconds: number[], cpu_s: number[], rss_peak_mb: number }>} */
    const result = new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      void this.ended.then((code) => reject(new Error(`the program of JAX ended with code ${code}`)));
    });
    this.child.kill("SIGCONT");
    this.child.stdin.write(`STEPS ${steps}\n`);
    const { seconds, cpu_s, rss_peak_mb } = await result;
    this.child.kill("SIGSTOP");
    this.peak_mb = rss_peak_mb;
    return { seconds: median(seconds), cpu_s: median(cpu_s) };
  }

  async close() {
    this.child.kill("SIGCONT");
    this.child.stdin.end();
    const force = setTimeout(() => this.child.kill("SIGKILL"), 5000);
    await this.ended;
    clearTimeout(force);
  }
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
