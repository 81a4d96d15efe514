import { deepStrictEqual, rejects } from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError, noFailpoints } from "@lapidary/std";
import { RecoveringModel, type RunWorkers } from "./recovering-workers.js";
import { UnitLog } from "./unit-log.js";

const lost = (): LapidaryError =>
  new LapidaryError({ code: "LAP_WORKER_LOST", message: "worker 0 ended", location: "worker 0", remedy: "none" });

describe("a model on the workers of a run", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-units-"));
  after(() => rmSync(directory, { recursive: true }));
  let file = 0;
  const stop = new AbortController();

  /** Workers without processes, and what was recorded. */
  function fakeWorkers(units: UnitLog): { readonly workers: RunWorkers; readonly recorded: string[] } {
    const recorded: string[] = [];
    const run = {
      record: ({ type }: { type: string }) => recorded.push(type),
      enter: () => undefined,
    };
    const group = { failed: new Promise<never>(() => undefined), close: async () => void recorded.push("closed") };
    const workers = {
      units,
      failpoints: noFailpoints,
      options: { run, signal: new AbortController().signal, drain: stop.signal },
      start: async () => {
        recorded.push("started");
        return { group, epoch: recorded.length };
      },
    };
    return { workers: workers as unknown as RunWorkers, recorded };
  }
  const path = (): string => join(directory, `${file++}.jsonl`);

  it("a unit that fails is computed again on other workers, and a later one uses the same workers", async () => {
    const { workers, recorded } = fakeWorkers(new UnitLog(path()));
    const model = new RecoveringModel<number>(workers, async () => 7);
    let calls = 0;
    const work = async (of: number): Promise<number> => {
      if (++calls === 1) throw lost();
      return of + calls;
    };
    deepStrictEqual([await model.unit({ n: 1 }, work), await model.unit({ n: 2 }, work)], [9, 10]);
    deepStrictEqual(recorded, ["started", "closed", "attempt_failed", "started"]);
  });

  it("a unit that fails three times, or whose error has no remedy in other workers, ends the run", async () => {
    const { workers, recorded } = fakeWorkers(new UnitLog(path()));
    const model = new RecoveringModel<number>(workers, async () => 7);
    await rejects(
      model.unit({}, async () => {
        throw lost();
      }),
      { code: "LAP_WORKER_LOST" },
    );
    deepStrictEqual(recorded.filter((each) => each === "started").length, 3);
    await rejects(
      model.unit({}, async () => {
        throw new LapidaryError({ code: "LAP_JUDGE_NAN", message: "no number", location: "judge" });
      }),
      { code: "LAP_JUDGE_NAN" },
    );
    deepStrictEqual(recorded.filter((each) => each === "started").length, 4);
  });

  it("the next coordinator skips the units of the log, and a line that was cut off is computed again", async () => {
    const log = path();
    const first = new RecoveringModel<number>(fakeWorkers(new UnitLog(log)).workers, async () => 7);
    await first.unit({ n: 1 }, async () => [0.1]);
    appendFileSync(log, `{"key":"${UnitLog.keyOf({ n: 2 })}","value":[0.`);
    const { workers, recorded } = fakeWorkers(new UnitLog(log));
    const second = new RecoveringModel<number>(workers, async () => 7);
    const never = async (): Promise<number[]> => {
      throw new Error("the unit is complete");
    };
    deepStrictEqual([await second.unit({ n: 1 }, never), recorded], [[0.1], []]);
    deepStrictEqual(await second.unit({ n: 2 }, async () => [0.2]), [0.2]);
    deepStrictEqual([new UnitLog(log).get(UnitLog.keyOf({ n: 2 })), new UnitLog(log).size], [[0.2], 2]);
  });

  it("a coordinator that stops starts no further unit", async () => {
    const { workers, recorded } = fakeWorkers(new UnitLog(path()));
    stop.abort(lost());
    await rejects(
      new RecoveringModel<number>(workers, async () => 7).unit({}, async () => 1),
      { code: "LAP_WORKER_LOST" },
    );
    deepStrictEqual(recorded, []);
  });
});
