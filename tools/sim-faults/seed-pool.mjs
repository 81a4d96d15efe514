import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/**
 * The report of one seed, as a process sends it.
 * @typedef {{ seed: number, problem?: string, faults: readonly string[], coverage: readonly (readonly [string, number])[], virtual_ms: number, events: number }} SeedReport
 */

const script = fileURLToPath(new URL("simulate-seeds.mjs", import.meta.url));

/**
 * Simulates seeds in several processes, in the order of the seeds as far as possible.
 *
 * @param {{ first: number, count: number, processes: number, bug?: string | undefined, onReport: (report: SeedReport) => boolean }} options
 * `onReport` returns whether to continue
 * @returns {Promise<void>} when all seeds are done, or when `onReport` has returned false
 */
export async function simulateSeeds({ first, count, processes, bug, onReport }) {
  let next = first;
  let continues = true;
  const end = first + count;
  await Promise.all(
    Array.from({ length: Math.min(processes, count) }, () => {
      const child = fork(script, bug === undefined ? [] : [bug], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
      return new Promise((resolve, reject) => {
        const give = () => {
          if (!continues || next >= end) return void child.disconnect();
          child.send(next++);
        };
        child.on("message", (/** @type {SeedReport | "ready"} */ message) => {
          if (message !== "ready" && continues) continues = onReport(message);
          give();
        });
        child.on("error", reject);
        child.on("exit", (code) =>
          code === 0 ? resolve(undefined) : reject(new Error(`a process of the simulation ended with code ${code}`)),
        );
      });
    }),
  );
}
