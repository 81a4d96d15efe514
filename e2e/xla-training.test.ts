import { deepStrictEqual, ok } from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import { expectGoldenLosses } from "./support/golden-losses.js";
import { exportGolden, goldenCases, releaseCases } from "./support/xla-golden.js";
import { jaxPython, lossesOf, runExport, runProcesses, saving } from "./support/xla.js";

describe("training on XLA from exported modules", function () {
  this.timeout(300_000);
  let directory = "";
  let python = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
    python = await jaxPython();
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const [name, golden] of Object.entries(goldenCases).filter(([name]) => !releaseCases.some((other) => other === name)))
    it(`both modules of ${name} have the losses of PyTorch in each of 5 steps`, () => expectGoldenLosses(python, directory, golden));

  it("two processes share the devices, and write one checkpoint of safetensors together", async () => {
    const [place, folder] = [join(directory, "two"), join(directory, "two-checkpoints")];
    const expected = await exportGolden(place, goldenCases["data=2,model=4 ZeRO-3"]);
    const [lead, other] = await runProcesses(2, python, place, "--text", "whole", "--devices", "8", ...saving(3, folder, "safetensors"));
    const before = lossesOf(ensure(lead, "process 0"));
    deepStrictEqual([before.size, other?.code, other?.stdout], [3, 0, ""]);
    deepStrictEqual(readdirSync(folder), ["step-3"]);
    const after = lossesOf(await runExport(python, place, "--text", "chip", "--resume", "--checkpoint-dir", folder));
    for (const [step, loss] of [...before, ...after])
      ok(Math.abs(loss - ensure(expected[step - 1], "loss")) <= 2e-5, `step ${step}: ${loss}`);
    deepStrictEqual([...after.keys()], [4, 5]);
  });
});
