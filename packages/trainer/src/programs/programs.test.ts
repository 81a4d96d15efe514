import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensure } from "@lapidary/std";
import { loadJob } from "@lapidary/training";
import type { ProgramSet } from "./build.js";
import { programRequest } from "./program-request.js";
import { programsFor } from "./programs.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

describe("the programs of a run", () => {
  const cacheDir = mkdtempSync(join(tmpdir(), "lapidary-programs-"));
  after(() => rmSync(cacheDir, { recursive: true, force: true }));
  const request = programRequest(loadJob(join(root, "configs/jobs/nano16.yaml"), [], { configsDir: join(root, "configs"), base: root }));
  /** The programs, and the number of compilations. */
  const build = async (): Promise<{ set: ProgramSet; compiled: number }> => {
    let compiled = 0;
    const set = await programsFor(request, { cacheDir, signal: new AbortController().signal, onProgress: (done) => (compiled = done) });
    return { set, compiled };
  };

  it("programs are compiled once, and again if a byte in the cache has changed", async () => {
    const first = await build();
    strictEqual(first.compiled, 4);
    const again = await build();
    strictEqual(again.compiled, 0);
    deepStrictEqual(again.set, first.set);
    const path = join(cacheDir, ensure(readdirSync(cacheDir)[0], "file"));
    const kept = readFileSync(path, "utf8");
    // The check covers inputs and outputs of a program, not its text.
    const changed = kept.replace('"role":"optimizer"', '"role":"param"');
    notStrictEqual(changed, kept);
    writeFileSync(path, changed);
    const last = await build();
    strictEqual(last.compiled, 4);
    deepStrictEqual(last.set, first.set);
    strictEqual(readFileSync(path, "utf8"), kept);
  });

  it("programs list their inputs and outputs, with the roles of the state between steps", async () => {
    const { programs } = (await build()).set;
    const [train_step, init] = [ensure(programs["train_step"], "step"), ensure(programs["init"], "init")];
    const carried = train_step.parameters.filter(({ role }) => role === "param" || role === "optimizer").map(({ id }) => id);
    ok(carried.length > 0, "a state");
    deepStrictEqual(init.outputs.map(({ id }) => id).sort(), [...carried].sort());
  });
});
