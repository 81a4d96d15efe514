import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CoordinatorClient } from "@lapidary/api/client";
import { systemClock } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { RunStore } from "@lapidary/telemetry";
import { newRun, steppingClock, trainRow } from "@lapidary/telemetry/testing";
import { type RecordedRuns, serveRecordedRuns } from "./recorded-runs.js";

describe("recorded runs", () => {
  const home = temporaryDirectory();
  const serve = (): Promise<RecordedRuns | undefined> =>
    serveRecordedRuns({ home: home(), root: home(), clock: systemClock, version: "0" });

  /** A run that is done, one that a killed coordinator left, and a damaged one. */
  async function record(): Promise<void> {
    const runs = await RunStore.open(join(home(), "runs"), steppingClock());
    const { run: done } = runs.create(newRun({ exactly: "done" }));
    done.metrics(trainRow(1));
    done.finish("done");
    runs.create(newRun({ exactly: "left" })).run.enter("running");
    runs.close();
    mkdirSync(join(home(), "runs/damaged"));
    for (const file of ["run.json", "summary.json"]) writeFileSync(join(home(), "runs/damaged", file), "{");
  }

  const files = (): string[] =>
    readdirSync(home(), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${join(entry.parentPath, entry.name)}\n${readFileSync(join(entry.parentPath, entry.name), "utf8")}`)
      .sort();

  it("a client reads them, cannot act, and changes no file", async () => {
    await record();
    const before = files();
    const server = await serve();
    if (server === undefined) throw new Error("the runs are not served");
    try {
      const client = new CoordinatorClient(server);
      const { jobs } = await client.list();
      deepStrictEqual(jobs.map(({ id, state }) => [id, state]).sort(), [
        ["done", "done"],
        ["left", "running"],
      ]);
      strictEqual((await client.metrics("done")).metrics.length, 1);
      strictEqual((await client.get("left")).directory, join(home(), "runs/left"));
      const events = [];
      for await (const { event } of client.stream("left", { follow: false })) events.push(event);
      deepStrictEqual(events, ["state", "state"]);
      await rejects(client.cancel("left"), { code: "LAP_COORDINATOR_DOWN" });
      await rejects(client.submit({ yaml: "model: nano" }), { code: "LAP_COORDINATOR_DOWN" });
      await rejects(client.shutdown(), { code: "LAP_COORDINATOR_DOWN" });
      await rejects(client.get("damaged"), { code: "LAP_JOB_UNREADABLE" });
      deepStrictEqual(server.unreadable, [join(home(), "runs/damaged")]);
    } finally {
      await server.close();
    }
    deepStrictEqual(files(), before);
  });

  it("a state directory without runs is not served, and stays empty", async () => {
    strictEqual(await serve(), undefined);
    deepStrictEqual(files(), []);
  });
});
