import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectGoldenLosses } from "../support/golden-losses.js";
import { goldenCases, releaseCases } from "../support/xla-golden.js";
import { jaxPython } from "../support/xla.js";

describe("training on XLA from exported modules, on more meshes of 256 devices", function () {
  this.timeout(300_000);
  let directory = "";
  let python = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-xla-"));
    python = await jaxPython();
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const name of releaseCases)
    it(`both modules of ${name} have the losses of PyTorch in each of 5 steps`, () =>
      expectGoldenLosses(python, directory, goldenCases[name]));
});
