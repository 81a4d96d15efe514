/**
 * The peak of the cores: GFLOP/s of large matmuls in one single-threaded process for each worker, all at the same time.
 * `node tools/bench/peak-flops.mjs SECONDS` runs one of these processes.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const path = fileURLToPath(import.meta.url);
const size = 1024;

/**
 * @param {number} processes
 * @param {number} seconds
 * @returns {Promise<number>} the sum of the medians of the processes, in GFLOP/s
 */
export async function measurePeak(processes, seconds = 1.5) {
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: "2", OMP_NUM_THREADS: "1", TF_NUM_INTEROP_THREADS: "1", TF_NUM_INTRAOP_THREADS: "1" };
  const each = await Promise.all(
    Array.from({ length: processes }, async () => {
      const child = spawn(process.execPath, [path, String(seconds)], { env, stdio: ["ignore", "pipe", "ignore"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
        output += text;
      });
      await new Promise((resolve) => child.on("close", resolve));
      return Number(output);
    }),
  );
  return each.reduce((sum, value) => sum + value, 0);
}

if (process.argv[1] === path) {
  const require = createRequire(import.meta.url);
  const tf = require("@tensorflow/tfjs-node-gpu");
  const [a, b] = [tf.randomNormal([size, size]), tf.randomNormal([size, size])];
  /** @type {number[]} */
  const times = [];
  for (const start = performance.now(); performance.now() - start < Number(process.argv[2]) * 1000 || times.length < 5; ) {
    const before = performance.now();
    tf.matMul(a, b).dispose();
    times.push(performance.now() - before);
  }
  times.sort((x, y) => x - y);
  process.stdout.write(String((2 * size ** 3) / 1e6 / (times[times.length >> 1] ?? NaN)));
}
