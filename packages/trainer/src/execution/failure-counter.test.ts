import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { FailureCounter } from "./failure-counter.js";

const lost = (message = "worker 1 was killed"): LapidaryError =>
  new LapidaryError({ code: "LAP_WORKER_LOST", message, location: "worker 1", remedy: "none" });

describe("the counter of failures", () => {
  it("the third failure of a step ends the run with the step, its batch and the last cause", () => {
    const counter = new FailureCounter();
    counter.count(5, true, lost(), "batch 4");
    counter.count(5, true, lost(), "batch 4");
    throws(() => counter.count(5, true, lost("worker 0 was killed"), "batch 4"), {
      code: "LAP_STEP_FAILS",
      message: "step 5 has failed 3 times, the last time because worker 0 was killed",
      location: "step 5, batch 4",
    });
    strictEqual(counter.why, "worker 0 was killed");
  });

  it("the eighth attempt in a row that does not reach its step ends the run, and names the workers if the cause has no place", () => {
    const counter = new FailureCounter();
    for (let i = 0; i < 7; i++) counter.count(5, false, lost(), "batch 4");
    throws(() => counter.count(5, false, new LapidaryError({ code: "LAP_WORKER_LOST", message: "gone", remedy: "none" }), "batch 4"), {
      code: "LAP_RECOVERY_FAILS",
      message: "8 consecutive recovery attempts failed, the last because gone",
      location: "workers",
    });
  });

  it("another step starts both counts again", () => {
    const counter = new FailureCounter();
    for (const step of [5, 6, 5]) {
      for (let i = 0; i < 2; i++) counter.count(step, true, lost(), "batch");
      for (let i = 0; i < 7; i++) counter.count(step, false, lost(), "batch");
    }
    throws(() => counter.count(5, true, lost(), "batch"), { code: "LAP_STEP_FAILS" });
  });

  it("failures before a step do not count for the step", () => {
    const counter = new FailureCounter();
    for (let i = 0; i < 7; i++) counter.count(5, false, lost(), "batch");
    strictEqual(counter.ahead(5), 4);
  });

  it("a step that has failed and the seven steps after it are dispatched alone", () => {
    const counter = new FailureCounter();
    deepStrictEqual(
      [0, 5, 9].map((step) => counter.ahead(step)),
      [4, 4, 4],
    );
    counter.count(5, true, lost(), "batch");
    deepStrictEqual(
      [4, 5, 6, 12, 13, 14].map((step) => counter.ahead(step)),
      [4, 1, 1, 1, 4, 4],
    );
  });
});
