import { ok, strictEqual } from "node:assert/strict";
import { publishedCells, publishedError } from "../support/published-cells.js";

describe("predictions of published runs", function () {
  this.timeout(600_000);

  it("plan differs from every published cell by at most 6 % and by 3 % on average", () => {
    const errors = publishedCells.map(({ job, pods }) => publishedError(job, pods));
    strictEqual(errors.length, 8);
    ok(Math.max(...errors) < 0.06, errors.join(" "));
    ok(errors.reduce((a, b) => a + b, 0) / 8 < 0.03, errors.join(" "));
  });
});
