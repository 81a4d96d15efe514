import { strictEqual } from "node:assert/strict";
import { fitText } from "./fit-text.js";
import { makePaint } from "./paint.js";

describe("the text of whether a step fits", () => {
  const text = (peak: number, hbm_error: number | null): string =>
    fitText({ hbm_bytes: { peak }, hbm_limit: 100, hbm_error, fits: peak <= 100 }, makePaint(false));

  it("near the limit, a plan with a known error says that the step may not fit", () => {
    strictEqual(text(90, 0.1), "fits, within 10.0 % of what the TPU compiler needs");
    strictEqual(
      text(91, 0.1),
      "may not fit: the plan is within 10.0 % of what the TPU compiler needs. `lapidary compile --memory` decides",
    );
    strictEqual(text(101, 0.1), "does not fit");
    strictEqual(text(100, null), "fits");
  });
});
