import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readXlaCheckpoint } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { Home, root } from "./support/cli.js";
import { jaxPython, lossesOf, runExport, runProcesses, saving } from "./support/xla.js";

const steps = 5;
const nano16 = join(root, "configs/jobs/nano16.yaml");

/** Losses of a run of Lapidary, by step. */
const emulated = (home: Home, id: string): Map<number, number> =>
  new Map(
    readFileSync(join(home.state, "runs", id, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; step: number; loss: number })
      .filter(({ kind }) => kind === "train")
      .map(({ step, loss }) => [step, loss]),
  );

function expectClose(actual: ReadonlyMap<number, number>, expected: ReadonlyMap<number, number>, first = 1): void {
  deepStrictEqual(
    [...actual.keys()],
    Array.from({ length: actual.size }, (_, i) => first + i),
  );
  for (const [step, loss] of actual) {
    const wanted = ensure(expected.get(step), `loss of step ${step}`);
    ok(Math.abs(loss - wanted) <= 1e-4, `step ${step}: ${loss} for ${wanted}`);
  }
}

describe("nano16 on 256 devices, by the emulator and by XLA", function () {
  this.timeout(300_000);
  const home = new Home();
  const place = (name: string): string => join(home.directory, name);
  const [exported, splitAllReduce] = [place("export"), place("split-all-reduce")];
  let python = "";
  let losses: Map<number, number>;

  before(async () => {
    python = await jaxPython();
    const data = ["data.corpus=corpus", "data.held_out=0.2", "data.vocab=300", `train.steps=${steps + 2}`, "train.eval=null"];
    await home.json("up");
    await home.json("launch", nano16, ...data, "checkpoint.every=2", "checkpoint.keep=9", "--name", "emulated");
    await home.json("down");
    await home.json("export", nano16, ...data, "-o", "export");
    await home.json("export", nano16, ...data, "-o", "split-all-reduce", "--split-all-reduce");
    losses = emulated(home, "emulated");
    strictEqual(losses.size, steps + 2);
  });
  after(() => home.clear());

  it("the exported job has the losses of the emulator, on the same rows of the same text", async () => {
    const texts = ["chip", "whole"];
    for (const run of await Promise.all(
      texts.map((text) => runExport(python, exported, "--text", text, "--devices", "256", "--steps", String(steps))),
    ))
      expectClose(lossesOf(run), losses);
  });

  it("XLA continues from a checkpoint of the emulator with the same losses", async () => {
    const checkpoint = join(home.state, "runs/emulated/checkpoints/step-4");
    expectClose(lossesOf(await runExport(python, exported, "--text", "chip", "--restore", checkpoint, "--steps", "2")), losses, 5);
  });

  it("two processes of 128 devices train as one, and Orbax writes their checkpoint in the form of Lapidary", async () => {
    const folder = place("orbax");
    const [lead, other] = await runProcesses(
      2,
      python,
      splitAllReduce,
      "--text",
      "chip",
      "--devices",
      "256",
      ...saving(2, folder, "orbax"),
    );
    expectClose(lossesOf(ensure(lead, "process 0")), losses);
    deepStrictEqual([other?.code, other?.stdout], [0, ""]);

    const { step, states } = await readXlaCheckpoint(join(folder, "step-2"));
    deepStrictEqual([step, states.size], [2, 3 * 20 + 1]);
    const ours = await readXlaCheckpoint(join(home.state, "runs/emulated/checkpoints/step-2"));
    for (const [name, { data }] of ours.states) {
      const theirs = ensure(states.get(name), name).data;
      // If a gradient is almost zero, only its sign decides the first steps of Adam.
      const distance = Math.sqrt([...data].reduce((sum, x, i) => sum + (x - (theirs[i] ?? Number.NaN)) ** 2, 0) / data.length);
      ok(distance <= 1e-4, `${name} is ${distance} away`);
    }
    // One process restores a checkpoint that two processes wrote, and Lapidary loads its weights.
    const restored = await runExport(
      python,
      exported,
      "--text",
      "whole",
      "--restore",
      "latest",
      "--checkpoint-dir",
      folder,
      "--steps",
      "1",
    );
    expectClose(lossesOf(restored), losses, 3);
    const hf = place("hf");
    await home.json("ckpt", "export", join(folder, "step-2"), "-o", hf);
    ok(existsSync(join(hf, "model.safetensors")));
  });
});
