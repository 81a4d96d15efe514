import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { StreamEvent } from "@lapidary/api";
import { jobFilePath } from "@lapidary/api/job-file-path";
import { forEachState, recordWrites, type Recording, temporaryDirectory } from "@lapidary/std/testing";
import { newRun, steppingClock, trainRow } from "../testing/fixtures.js";
import { Journal, readJournal } from "./journal.js";
import { RunStore } from "./run-store.js";

describe("the files of a run, for a power cut after each write and any loss of unsynced data", () => {
  const directory = temporaryDirectory();
  const line = (text: string) => ({ event: "log", data: { time: 1, source: "coordinator", line: text } }) as const;

  /** Two coordinators write to one journal. A mark is the number of synced events. */
  async function recordJournal(): Promise<{ recording: Recording; written: StreamEvent[] }> {
    const written: StreamEvent[] = [];
    const recording = await recordWrites(directory(), (mark) => {
      for (const coordinator of [1, 2]) {
        const journal = new Journal(directory());
        for (const step of [1, 2]) {
          written.push(journal.append(line(`step ${step} of ${coordinator}`)), journal.append({ event: "metrics", data: trainRow(step) }));
          if (step === 2) continue;
          journal.sync();
          mark(String(written.length));
        }
        journal.close();
      }
    });
    return { recording, written };
  }

  const checkJournal = ({ recording, written }: Awaited<ReturnType<typeof recordJournal>>): Promise<number> =>
    forEachState(recording, async (left, marks) => {
      const durable = Number(marks.at(-1) ?? 0);
      const found = await readJournal(left);
      // A line that was lost before a durable one is reported in its place.
      const known = found.filter(
        (event) => event.id <= durable && !(event.event === "log" && event.data.run_event?.type === "journal_lines_skipped"),
      );
      deepStrictEqual(known, written.slice(0, durable), "a synced event is lost");
      const journal = new Journal(left);
      const next = journal.append(line("after"));
      journal.close();
      ok(
        found.every(({ id }) => id < next.id),
        "the next event has a new number",
      );
      deepStrictEqual((await readJournal(left)).at(-1), next);
    });

  it("the journal has every synced event once, and numbers the next event after all others", async () => {
    const states = await checkJournal(await recordJournal());
    ok(states > 50, `${states} states`);
  });

  const journalWithout = async (path: RegExp): Promise<number> => {
    const { recording, written } = await recordJournal();
    return checkJournal({ recording: recording.withoutSyncs(path), written });
  };

  async function recordRun(): Promise<Recording> {
    const clock = steppingClock();
    const store = await RunStore.open(join(directory(), "runs"), clock);
    return recordWrites(directory(), (mark) => {
      const { run } = store.create(newRun({ exactly: "a" }));
      mark("created");
      run.enter("running");
      run.metrics(trainRow(1));
      run.sync();
      mark("step 1");
      run.finish("done");
      mark("done");
    });
  }

  const checkRun = (recording: Recording): Promise<number> =>
    forEachState(recording, async (left, marks) => {
      const unreadable: unknown[] = [];
      const store = await RunStore.open(join(left, "runs"), steppingClock(), (_, error) => unreadable.push(error));
      deepStrictEqual(unreadable, [], "the run is unreadable");
      const run = store.find("a");
      if (!marks.includes("created")) return;
      ok(run !== undefined, "the run is lost");
      deepStrictEqual(
        [run.identity.fingerprint, readFileSync(jobFilePath(run.directory), "utf8")],
        ["f", newRun({ exactly: "a" }).jobFile],
        "the job is lost",
      );
      if (marks.includes("step 1")) ok(run.summary.step === 1, "the step is lost");
      if (marks.includes("done")) strictEqual(run.state, "done", "the end is lost");
      store.close();
    });

  it("a job that was submitted is in the queue again, and its run is readable in each state and has its synced steps and its end", async () => {
    const states = await checkRun(await recordRun());
    ok(states > 50, `${states} states`);
  });

  for (const [title, path, check] of [
    ["of the events", /events/, async (path: RegExp) => journalWithout(path)],
    ["of the metrics", /metrics/, async (path: RegExp) => journalWithout(path)],
    ["of the directory of the journal", /^\.$/, async (path: RegExp) => journalWithout(path)],
    ["of the job file", /job\.json/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
    ["of the identity of a run", /run\.json/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
    ["of the summary of a run", /summary/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
    ["of the end of a run", /events/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
    ["of the directory of a run", /^runs\/a$/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
    ["of the directory of all runs", /^runs$/, async (path: RegExp) => checkRun((await recordRun()).withoutSyncs(path))],
  ] as const)
    it(`this test finds a missing sync ${title}`, () => rejects(check(path), /is lost|is unreadable/));
});
