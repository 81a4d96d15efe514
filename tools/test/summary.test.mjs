import assert from "node:assert/strict";
import { failuresText, processorText, propertiesText, skippedText, totalText } from "./summary.mjs";

/** @param {Partial<import("./groups.mjs").Outcome>} change */
const outcome = (change) => ({ passed: 1, skipped: [], properties: [], failures: [], seconds: 1, processor_s: 1, ...change });

describe("the summary of npm test", () => {
  const properties = [
    { title: "p", cases: 60, rejected: 0, seed: 5 },
    { title: "q", cases: 40, rejected: 3, seed: -6 },
  ];
  const outcomes = [
    { group: "ir", outcome: outcome({ properties }) },
    { group: "native", outcome: outcome({ skipped: ["needs kernels", "needs root"] }) },
  ];

  it("the summary names each skipped test with its group, after their count", () => {
    assert.deepEqual(skippedText(outcomes), [
      "2 skipped, because this machine lacks what they need:",
      "  - native: needs kernels",
      "  - native: needs root",
    ]);
    assert.deepEqual(skippedText([]), ["0 skipped"]);
  });

  it("the summary repeats each failed test with its group and the first lines of its message", () => {
    const lines = Array.from({ length: 40 }, (_, i) => `line ${i}`);
    const failed = outcome({ failures: [{ title: "adds", message: `${lines.join("\n")}\n` }] });
    const [title, ...message] = failuresText([...outcomes, { group: "std", outcome: failed }]);
    assert.equal(title, "  ✘ std: adds");
    assert.deepEqual(
      message,
      lines.slice(0, 12).map((line) => `      ${line}`),
    );
    assert.deepEqual(failuresText(outcomes), []);
  });

  it("the summary has the processor time of the whole command", () => {
    assert.deepEqual(processorText(61.4), ["61 s of processor time"]);
  });

  it("the summary adds the cases of all properties, and the nightly test has one line for each", () => {
    assert.deepEqual(totalText(outcomes), ["100 random cases of 2 properties compared"]);
    assert.deepEqual(totalText([]), []);
    assert.deepEqual(propertiesText(outcome({ properties })), ["    60 cases, seed 5: p", "    40 cases, 3 rejected, seed -6: q"]);
  });
});
