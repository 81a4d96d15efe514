/** The other side of a measurement: JAX or PyTorch, as a process that runs steps on command. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { median } from "../median.mjs";
import { chipsOf } from "./case.mjs";

const directory = fileURLToPath(new URL(".", import.meta.url));

/** The shape of a model as the scripts of both peers take it. @param {any} config of a model @param {number} T tokens of a row */
const shapeOf = ({ vocabSize: V, modelDim: D, layers: L, heads: N, kvHeads: K, headDim: H, mlpDim: F }, T) =>
  JSON.stringify({ V, D, L, N, K, H, F, T });

export class Peer {
  /**
   * Starts a script, and waits until it has run once.
   * @param {string} python
   * @param {readonly string[]} args the name of a script in this directory, and its arguments
   * @param {(what: string) => void} onPhase
   */
  static async start(python, [script = "", ...args], onPhase) {
    const peer = new Peer(spawn(python, [join(directory, script), ...args], { stdio: ["pipe", "pipe", "pipe"] }), script, onPhase);
    await peer.ready;
    return peer;
  }

  /**
   * Train steps of JAX on as many forced devices as the mesh has chips.
   * @param {string} python
   * @param {any} job
   * @param {{ readonly mesh: readonly number[], readonly microbatches?: number }} layout data × model; with microbatches, the mesh of bench_jax_llama.py
   * @param {(what: string) => void} onPhase
   */
  static jaxSteps(python, job, { mesh, microbatches }, onPhase) {
    const shape = shapeOf(job.model.config, job.train.seq);
    const common = ["--shape", shape, "--mesh", mesh.join("x"), "--batch", String(job.train.batch)];
    if (microbatches !== undefined)
      return Peer.start(python, ["bench_jax_llama.py", ...common, "--microbatches", String(microbatches)], onPhase);
    return Peer.start(python, ["bench_jax.py", ...common, ...(chipsOf(mesh) > 1 ? ["--zero3"] : [])], onPhase);
  }

  /**
   * Train steps of PyTorch in one process.
   * @param {string} python
   * @param {any} job
   * @param {number} threads
   * @param {(what: string) => void} onPhase
   */
  static torchSteps(python, job, threads, onPhase) {
    const shape = shapeOf(job.model.config, job.train.seq);
    const args = ["step", "--shape", shape, "--rows", String(job.train.batch), "--threads", String(threads)];
    return Peer.start(python, ["bench_torch.py", ...args], onPhase);
  }

  /**
   * Generations of transformers in one process.
   * @param {string} python
   * @param {any} config of a model
   * @param {{ readonly rows: number, readonly prompt: number, readonly new: number, readonly threads: number }} counts
   * @param {(what: string) => void} onPhase
   */
  static torchGenerations(python, config, counts, onPhase) {
    const args = Object.entries(counts).flatMap(([key, value]) => [`--${key}`, String(value)]);
    return Peer.start(python, ["bench_torch.py", "generate", "--shape", shapeOf(config, config.contextLength), ...args], onPhase);
  }

  /**
   * @param {import("node:child_process").ChildProcessWithoutNullStreams} child
   * @param {string} script
   * @param {(what: string) => void} onPhase
   */
  constructor(child, script, onPhase) {
    this.child = child;
    this.script = script;
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
      child.on("exit", (code) => reject(new Error(`${script} ended with code ${code}:\n${errors}`)));
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
   * The process is suspended between its bursts. The hundreds of threads of JAX use up to a fifth of the cores while they wait, which would slow
   * down the other side.
   *
   * @param {number} steps @returns {Promise<{ seconds: number, cpu_s: number }>} medians of the steps */
  async burst(steps) {
    /** @type {Promise<{ seconds: number[], cpu_s: number[], rss_peak_mb: number }>} */
    const result = new Promise((resolve, reject) => {
      this.waiting.push(resolve);
      void this.ended.then((code) => reject(new Error(`${this.script} ended with code ${code}`)));
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
