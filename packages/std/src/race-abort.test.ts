import { rejects, strictEqual } from "node:assert/strict";
import { raceAbort } from "./race-abort.js";

describe("raceAbort", () => {
  const reason = new Error("cancelled");

  it("an abort ends the wait with the reason of the signal", async () => {
    const stop = new AbortController();
    const wait = raceAbort(new Promise(() => undefined), stop.signal);
    stop.abort(reason);
    await rejects(wait, reason);
    await rejects(raceAbort(Promise.resolve(1), stop.signal), reason);
  });

  it("without an abort, the outcome is that of the promise", async () => {
    const { signal } = new AbortController();
    strictEqual(await raceAbort(Promise.resolve(1), signal), 1);
    await rejects(raceAbort(Promise.reject(reason), signal), reason);
  });
});
