import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { calibrationWarning, parseChip, type PlanReport, usableHbm } from "@lapidary/simulator";
import { caseInput, tinyJob } from "../support/cases.js";
import { Home, root } from "../support/cli.js";

/** Plans for other chips than v5e, to which the simulator was fitted first. */

type Report = PlanReport & { readonly warnings: readonly { readonly code: string }[] };

describe("chips", function () {
  this.timeout(240_000);
  let home: Home;
  before(() => {
    home = new Home();
  });
  after(() => home.clear());

  describe("case 77: v4 is not v5e", () => {
    const job = caseInput("77-v4-is-not-v5e", "maxtext-22b-v4-128.yaml");

    it("the simulator predicts the four published runs within the 6 % that hold for v5e", async () => {
      for (const [pods, measured] of [
        [1, 56.7],
        [2, 55.2],
        [4, 54.3],
        [8, 53.2],
      ] as const) {
        const report = (await home.json("plan", job, `pods=${pods}`)) as unknown as Report;
        ok(Math.abs((100 * report.mfu) / measured - 1) < 0.06, `${pods} slices: ${100 * report.mfu} instead of ${measured}`);
        deepStrictEqual(report.warnings, []);
      }
    });

    it("text, JSON and HTML report next to the MFU that v5p was never compared with a measured run", async () => {
      const text = await home.run("plan", tinyJob, "--chip", "v5p");
      strictEqual(text.code, 0, text.stderr);
      match(text.stdout, /MFU \d.*NOT CALIBRATED for v5p/);
      match(text.stderr, /LAP_CHIP_NOT_CALIBRATED.*23 % too optimistic for v4/s);
      match((await home.run("plan", tinyJob, "--chip", "v5p", "-o", "html")).stdout, /not calibrated for v5p/);
      const report = (await home.json("plan", tinyJob, "--chip", "v5p")) as unknown as Report;
      deepStrictEqual([report.calibration, report.warnings.map(({ code }) => code)], [null, ["LAP_CHIP_NOT_CALIBRATED"]]);
    });

    it("a trace warns about a chip that was never compared with a measured run", async () => {
      const { code, stderr } = await home.run("trace", tinyJob, "--chip", "v6e", "-o", join(home.directory, "trace.json"));
      strictEqual(code, 0, stderr);
      match(stderr, /LAP_CHIP_NOT_CALIBRATED/);
    });
  });

  it("a user's own chip without measured runs is not calibrated, and has the HBM of its data sheet", () => {
    const own = readFileSync(join(root, "configs/chips/v5e.yaml"), "utf8")
      .replace("name: v5e", "name: mine")
      .replace(/^calibration:[\s\S]*$/m, "")
      .replace(/^ {2}usable_bytes:.*$/m, "");
    const chip = parseChip(own, "mine.yaml");
    strictEqual(usableHbm(chip), 16e9);
    match(calibrationWarning(chip)?.message ?? "", /of mine are not calibrated/);
  });
});
