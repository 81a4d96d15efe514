import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Failpoint, type FailpointEffects, Failpoints, noFailpoints, parseFailpoints } from "./failpoints.js";

/**
 * The failpoints in the environment of a process. Each firing creates a file in `LAPIDARY_FAILPOINTS_FIRED` exclusively. Therefore a
 * replacement process does not fail again, and a test can check that its fault occurred, and when. Only entry points call this function.
 *
 * @throws LAP_FAILPOINT_TEXT
 */
export function failpointsOf(environment: Readonly<Record<string, string | undefined>>): Failpoints {
  const text = environment.LAPIDARY_FAILPOINTS;
  if (text === undefined || text === "") return noFailpoints;
  return new Failpoints(parseFailpoints(text), processEffects(environment.LAPIDARY_FAILPOINTS_FIRED));
}

function processEffects(directory: string | undefined): FailpointEffects {
  const fired = new Map<string, number>();
  return {
    kill: () => void process.kill(process.pid, "SIGKILL"),
    suspend: () => void process.kill(process.pid, "SIGSTOP"),
    hang: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
    claim: (point) => (directory === undefined ? claimHere(fired, point) : claimInDirectory(directory, point)),
  };
}

function claimHere(fired: Map<string, number>, { text, times }: Failpoint): boolean {
  const count = fired.get(text) ?? 0;
  fired.set(text, count + 1);
  return count < times;
}

function claimInDirectory(directory: string, { text, times }: Failpoint): boolean {
  mkdirSync(directory, { recursive: true });
  for (let n = 1; n <= times; n++) {
    try {
      writeFileSync(join(directory, `${text.replaceAll(/[^a-z0-9@,-]+/g, "_")}.${n}`), `${Date.now()} ${process.pid}\n`, { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") throw error;
    }
  }
  return false;
}
