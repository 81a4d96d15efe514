import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** From e2e/dist. */
const root = resolve(fileURLToPath(import.meta.url), "../../..");

interface Trial {
  readonly seed: number;
  readonly ok: boolean;
  readonly problem?: string;
  readonly detect_ms?: number;
  readonly steps_replayed?: number;
}

/** The results of `npm run faults -- --json` for some of its cases. */
async function faults(only: readonly string[]): Promise<{ readonly fault: string; readonly trials: readonly Trial[] }[]> {
  const child = spawn(process.execPath, [join(root, "tools/faults/main.mjs"), "--json", "--times", "1", "--only", only.join("|")], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, log] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const [code] = (await once(child, "close")) as [number | null];
  ok(code !== null && out !== "", log);
  return (JSON.parse(out) as { results: { fault: string; trials: Trial[] }[] }).results;
}

describe("a sample of the injected faults, with real processes", function () {
  this.timeout(600_000);

  it("a run with a fault ends with the digests of the fault-free reference run", async () => {
    const wanted = [
      "worker killed at before-vote",
      "coordinator killed at after-commit",
      "coordinator killed at before-manifest",
      "checkpoint reaches the disk damaged",
      "bit flipped in a message of all-gather through shared memory",
      "bit flipped in a message of reduce-scatter through a socket",
    ];
    const results = await faults(wanted);
    deepStrictEqual(results.map(({ fault }) => fault).sort(), [...wanted].sort());
    for (const { fault, trials } of results)
      for (const trial of trials) strictEqual(trial.problem, undefined, `${fault}, seed ${trial.seed}`);
    const killed = results.find(({ fault }) => fault.startsWith("worker"))?.trials[0];
    // The times depend on the machine. The detection and the number of repeated steps do not.
    ok(killed?.detect_ms !== undefined && (killed.steps_replayed ?? 99) <= 5, JSON.stringify(killed));
  });
});
