import fc from "fast-check";
import { openServingFuzzTarget } from "./testing/fuzz.js";

describe("hostile requests to a served model", () => {
  it("every request has an answer or an error with a code, and the server continues", async () => {
    const { target, close } = await openServingFuzzTarget();
    await fc.assert(target.property, { numRuns: 1000, seed: 19 });
    await close();
  });
});
