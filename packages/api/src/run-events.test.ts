import { strictEqual, throws } from "node:assert/strict";
import { runEventSchema } from "./run-events.js";

describe("run events", () => {
  const recorded = (action: string) => ({ type: "fault_injected", site: "after-commit", step: 4, target: "c", action });

  it("an event of a journal with a former name of a failpoint action has the new name", () => {
    for (const [former, action] of [
      ["stop", "suspend"],
      ["tear", "truncate"],
      ["suspend", "suspend"],
    ] as const) {
      const event = runEventSchema.parse(recorded(former));
      strictEqual(event.type === "fault_injected" && event.action, action);
    }
    throws(() => runEventSchema.parse(recorded("freeze")), /action/);
  });
});
