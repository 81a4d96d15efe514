import { strictEqual } from "node:assert/strict";
import { counted } from "./index.js";

describe("counted", () => {
  it("only a count of one has the singular", () => {
    strictEqual([0, 1, 2].map((count) => counted(count, "step")).join(), "0 steps,1 step,2 steps");
    strictEqual([1, 3].map((count) => counted(count, "entry", "entries")).join(), "1 entry,3 entries");
  });
});
