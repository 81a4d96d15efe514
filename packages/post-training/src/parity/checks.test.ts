import { deepStrictEqual } from "node:assert/strict";
import { f32Array } from "@lapidary/interop";
import { goldenBundle } from "../testing/golden-bundle.js";
import { PartChecks } from "./checks.js";
import { type Manifest, readManifest } from "./manifest.js";

describe("a check of parity", () => {
  let manifest: Manifest;
  before(async () => {
    manifest = await readManifest(goldenBundle("mqa"));
  });
  /** `ok` of each check. */
  const oks = (check: (checks: PartChecks) => void): boolean[] => {
    const checks = new PartChecks("sft", manifest);
    check(checks);
    return checks.list.map(({ ok }) => ok);
  };

  it("a number holds within the tolerance of its kind, and a value that is not a number never holds", () => {
    deepStrictEqual(
      oks((checks) => {
        checks.number("loss", 1.00001, 1);
        checks.number("loss", 1.00003, 1);
        checks.number("loss", Number.NaN, 1);
        checks.number("logits", 1.00004, 1, "logits");
        checks.exact("accuracy", 0.5, 0.5);
        checks.exact("accuracy", 0.5, 0.5625);
        checks.array("scores", f32Array([2], [1, Number.NaN]), f32Array([2], [1, 2]));
        checks.gradientNorm("grad_norm", 10.0001, 10);
        checks.steps([1, 2, 3, 4], [1, 2, 3, 4.1]);
      }),
      [true, false, false, true, true, false, false, true, false],
    );
  });

  it("the rounding of f32 limits the tolerance of a large number", () => {
    deepStrictEqual(
      oks((checks) => {
        checks.number("ipo_loss", 2500.001, 2500);
        checks.number("ipo_loss", 2500.01, 2500);
      }),
      [true, false],
    );
  });

  it("a result that a mistake gives is refused, unless the reference gives the same", () => {
    const checks = new PartChecks("sft", manifest);
    checks.mistakes(0.5, 0.5, { far: 0.6, near: 0.50001, missing: Number.NaN });
    checks.mistakes(0.6, 0.5, { far: 0.6 });
    deepStrictEqual(
      checks.list.map(({ value, mistake, undetectable, ok }) => [value, mistake, undetectable, ok]),
      [
        ["far", true, false, true],
        ["near", true, true, true],
        ["missing", true, false, false],
        ["far", true, false, false],
      ],
    );
  });

  it("integers are counted one by one, also if a list is shorter", () => {
    deepStrictEqual(
      oks((checks) => {
        checks.equal("tokens", [1, 2], [1, 2]);
        checks.equal("tokens", [1, 3], [1, 2]);
        checks.equal("tokens", [1], [1, 2]);
        checks.equal("tokens", [1, 2, 3], [1, 2]);
      }),
      [true, false, false, false],
    );
  });
});
