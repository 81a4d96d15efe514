import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LapidaryError } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";
import { describeEvent } from "@lapidary/api/describe-event";
import { isOfType, runEventsIn } from "@lapidary/api/run-events";
import { newRun, steppingClock, trainRow } from "../testing/fixtures.js";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Journal, journalFiles, readJournal, readMetrics } from "./journal.js";
import { RunStore } from "./run-store.js";

const hasCode = (code: string) => (error: unknown) => (error as LapidaryError).code === code;

describe("the journal of a run", () => {
  const directory = temporaryDirectory();
  const line = (text: string) => ({ event: "log", data: { time: 1, source: "coordinator", line: text } }) as const;

  it("the journal numbers events and metrics in one sequence, and returns them in that order", async () => {
    const journal = new Journal(directory());
    journal.append(line("a"));
    journal.append({ event: "metrics", data: trainRow(1) });
    journal.append(line("b"));
    journal.append({ event: "metrics", data: trainRow(2) });
    journal.close();
    deepStrictEqual(
      (await readJournal(directory())).map(({ id, event }) => [id, event]),
      [
        [1, "log"],
        [2, "metrics"],
        [3, "log"],
        [4, "metrics"],
      ],
    );
    deepStrictEqual(
      (await readJournal(directory(), 2)).map(({ id }) => id),
      [3, 4],
    );
    deepStrictEqual(await readMetrics(directory(), 1, 10), { rows: [trainRow(2)], more: false, unreadable: 0 });
    deepStrictEqual(await readMetrics(directory(), 0, 1), { rows: [trainRow(1)], more: true, unreadable: 0 });
  });

  it("the journal continues the numbers after a restart, and truncates a line that a crash left incomplete", async () => {
    const first = new Journal(directory());
    first.append(line("a"));
    first.append({ event: "metrics", data: trainRow(1) });
    first.close();
    appendFileSync(journalFiles.events(directory()), '{"id":3,"event":"lo');
    deepStrictEqual(
      (await readJournal(directory())).map(({ id }) => id),
      [1, 2],
    );
    const second = new Journal(directory());
    strictEqual(second.append(line("b")).id, 3);
    second.close();
    deepStrictEqual(
      (await readJournal(directory())).map(({ id }) => id),
      [1, 2, 3],
    );
  });
});

describe("a journal with numbers that are not finite, and with damaged lines", () => {
  const directory = temporaryDirectory();
  const line = (text: string) => ({ event: "log", data: { time: 1, source: "coordinator", line: text } }) as const;
  /** Number, file, first line, last line and cause of skipped lines. */
  const skipped = async (): Promise<unknown[]> =>
    runEventsIn(await readJournal(directory()))
      .events.filter(isOfType("journal_lines_skipped"))
      .map(({ id, file, from_line, to_line, cause }) => [id, file, from_line, to_line, cause]);

  for (const value of [Infinity, -Infinity, Number.NaN])
    it(`the journal returns ${value} in every column of a row`, async () => {
      const row = {
        ...trainRow(1),
        loss: value,
        grad_norm: value,
        learning_rate: value,
        tokens_per_s: value,
        step_ms: value,
        eta_s: value,
      };
      const evaluated = { kind: "eval", time: 1, step: 1, heldout_loss: value, unigram_loss: value, tokens: 3 } as const;
      const journal = new Journal(directory());
      journal.append({ event: "metrics", data: row });
      journal.append({ event: "metrics", data: evaluated });
      journal.close();
      deepStrictEqual((await readMetrics(directory(), 0, 10)).rows, [row, evaluated]);
      deepStrictEqual(
        (await readJournal(directory())).map(({ data }) => data),
        [row, evaluated],
      );
    });

  it("the journal reads null of earlier versions as NaN", async () => {
    writeFileSync(journalFiles.metrics(directory()), `${JSON.stringify({ id: 1, ...trainRow(1), learning_rate: null })}\n`);
    deepStrictEqual((await readMetrics(directory(), 0, 9)).rows, [{ ...trainRow(1), learning_rate: Number.NaN }]);
  });

  it("a damaged row is lost and reported in its place, and no other row is lost", async () => {
    const journal = new Journal(directory());
    for (let step = 1; step <= 3; step++) journal.append({ event: "metrics", data: trainRow(step) });
    journal.append(line("end"));
    journal.close();
    const path = journalFiles.metrics(directory());
    const lines = readFileSync(path, "utf8").split("\n");
    for (const damaged of [
      "\u0000\u0001garbage",
      '{"id":2,"kind":"train","step":"two"}',
      '{"id":2,"kind":"of a later version"}',
      "",
      "null",
      "[]",
    ]) {
      writeFileSync(path, lines.with(1, damaged).join("\n"));
      deepStrictEqual(
        (await readJournal(directory())).map(({ id, event }) => [id, event]),
        [
          [1, "metrics"],
          [2, "log"],
          [3, "metrics"],
          [4, "log"],
        ],
      );
      deepStrictEqual(await skipped(), [[2, "metrics.jsonl", 2, 2, "damaged"]]);
      deepStrictEqual(await readMetrics(directory(), 0, 10), { rows: [trainRow(1), trainRow(3)], more: false, unreadable: 1 });
    }
  });

  it("the journal reports text between rows, and does not take a later event for an earlier one", async () => {
    const journal = new Journal(directory());
    for (let step = 1; step <= 2; step++) journal.append({ event: "metrics", data: trainRow(step) });
    journal.close();
    appendFileSync(journalFiles.metrics(directory()), "what\nis\nthis\n");
    const again = new Journal(directory());
    const { id } = again.append(line("goes on"));
    again.close();
    ok(id > 2);
    deepStrictEqual(await skipped(), [[3, "metrics.jsonl", 3, 5, "damaged"]]);
    deepStrictEqual(
      (await readJournal(directory(), id - 1)).map((event) => event.id),
      [id],
    );
  });

  it("the journal skips and counts event types and kinds of a newer version, and reports a known type with wrong fields as damaged", async () => {
    const journal = new Journal(directory());
    journal.append({ event: "log", data: { time: 1, source: "coordinator", line: "x", run_event: { type: "cancel_requested" } } });
    journal.close();
    const log = (id: number, run_event: unknown): string =>
      JSON.stringify({ id, event: "log", data: { time: 1, source: "coordinator", line: "y", run_event } });
    const path = journalFiles.events(directory());
    appendFileSync(path, `${log(2, { type: "of_a_newer_version", more: 7 })}\n`);
    appendFileSync(
      path,
      `${JSON.stringify({ id: 3, event: "newer", data: {} })}\n${JSON.stringify({ id: 4, event: "newer", data: {} })}\n`,
    );
    appendFileSync(path, `${log(5, { type: "worker_lost", worker: "one", pid: 1 })}\n${log(6, { type: "attempt_started", attempt: 1 })}\n`);
    const journaled = await readJournal(directory());
    const { events, skipped: later } = runEventsIn(journaled);
    deepStrictEqual(
      events.map(({ id, type }) => [id, type]),
      [
        [1, "cancel_requested"],
        [3, "journal_lines_skipped"],
        [5, "journal_lines_skipped"],
        [6, "attempt_started"],
      ],
    );
    strictEqual(later, 1);
    deepStrictEqual(await skipped(), [
      [3, "events.jsonl", 3, 4, "newer_version"],
      [5, "events.jsonl", 5, 5, "damaged"],
    ]);
    // Lines and fields of a newer version stay in the file.
    deepStrictEqual(journaled[1]?.data, {
      time: 1,
      source: "coordinator",
      line: "y",
      run_event: { type: "of_a_newer_version", more: 7 },
    });
  });

  it("empty and missing files are a run without events", async () => {
    deepStrictEqual(await readJournal(directory()), []);
    writeFileSync(journalFiles.events(directory()), "");
    deepStrictEqual(await readJournal(directory()), []);
    deepStrictEqual(await readMetrics(directory(), 0, 5), { rows: [], more: false, unreadable: 0 });
  });
});

describe("the run store", () => {
  const directory = temporaryDirectory();
  const open = (): Promise<RunStore> => RunStore.open(join(directory(), "runs"), steppingClock());

  it("the store returns the same run when it is opened again", async () => {
    const store = await open();
    const { run } = store.create(newRun({ exactly: "a" }));
    run.enter("compiling", { activity: { what: "trace" } });
    run.enter("placing", { slice: { pod: 0, pods: 1, origin: [0, 0], dims: [16, 16] } });
    run.enter("running");
    run.metrics(trainRow(1));
    run.metrics({ kind: "eval", time: 1, step: 1, heldout_loss: 4, unigram_loss: 6, tokens: 100 });
    run.finish("failed", { code: "LAP_STEP_FAILS", message: "m", place: "p", remedy: "r", exit: 100 });
    const { summary } = run;
    store.close();
    const again = (await open()).get("a");
    deepStrictEqual(again.summary, summary);
    strictEqual(again.summary.loss, 4.99);
    strictEqual(again.summary.error?.code, "LAP_STEP_FAILS");
    strictEqual(again.summary.slice?.dims.length, 2);
    ok((again.summary.started_at ?? 0) < (again.summary.finished_at ?? 0));
  });

  it("the store computes the progress of a run from its journal if its coordinator died", async () => {
    const store = await open();
    const { run } = store.create(newRun({ exactly: "a" }));
    run.enter("running");
    for (const step of [1, 2, 3]) run.metrics(trainRow(step));
    const again = (await open()).get("a");
    deepStrictEqual([again.state, again.summary.step], ["running", 3]);
    again.finish("failed");
    strictEqual((await open()).get("a").state, "failed");
  });

  it("the store returns the same run for the same name and job, and rejects the name for another job", async () => {
    const store = await open();
    const { run } = store.create(newRun({ exactly: "mine" }));
    deepStrictEqual(store.create(newRun({ exactly: "mine" })), { run, existed: true });
    throws(() => store.create(newRun({ exactly: "mine" }, { fingerprint: "other" })), hasCode("LAP_JOB_NAME_TAKEN"));
  });

  it("the store generates names that were never used, and suggests a similar one for an unknown name", async () => {
    const store = await open();
    const made = ["Quick Start.yaml", "Quick Start.yaml", "???"].map((like) => store.create(newRun({ like })).run.id);
    deepStrictEqual(made, ["quick-start.yaml-1", "quick-start.yaml-2", "job-1"]);
    throws(
      () => store.get("jop-1"),
      (error: LapidaryError) => error.code === "LAP_JOB_UNKNOWN" && /job-1/.test(error.remedy),
    );
  });

  it("the store lists runs in pages, newest first", async () => {
    const store = await open();
    for (const name of ["a", "b", "c", "d"]) store.create(newRun({ exactly: name }));
    store.get("c").finish("cancelled");
    const first = store.list({ limit: 2 });
    deepStrictEqual(
      first.jobs.map(({ id }) => id),
      ["d", "c"],
    );
    deepStrictEqual(
      store.list({ limit: 2, cursor: first.next_cursor }).jobs.map(({ id }) => id),
      ["b", "a"],
    );
    deepStrictEqual(
      store.list({ limit: 5, state: ["cancelled"] }).jobs.map(({ id }) => id),
      ["c"],
    );
    strictEqual(store.counts().queued, 3);
  });

  it("the store skips directories that are not runs", async () => {
    const store = await open();
    store.create(newRun({ exactly: "a" }));
    writeFileSync(join(store.directory, "notes.txt"), "x");
    const discarded = store.create(newRun({ exactly: "b" })).run;
    store.discard(discarded);
    deepStrictEqual(
      (await open()).all().map(({ id }) => id),
      ["a"],
    );
    ok(!existsSync(discarded.directory));
  });
});

describe("a run", () => {
  const directory = temporaryDirectory();
  const open = (): Promise<RunStore> => RunStore.open(join(directory(), "runs"), steppingClock());

  it("a follower receives every event once, past and live, from any number on", async () => {
    const { run } = (await open()).create(newRun({ exactly: "a" }));
    run.metrics(trainRow(1));
    const seen: StreamEvent[] = [];
    const following = run.follow(1, (event) => seen.push(event));
    // During the read of the files.
    run.metrics(trainRow(2));
    await following;
    run.metrics(trainRow(3));
    run.finish("done");
    deepStrictEqual(
      seen.map(({ id }) => id),
      [2, 3, 4, 5],
    );
    strictEqual(seen.at(-1)?.event, "done");
    const late: StreamEvent[] = [];
    await run.follow(0, (event) => late.push(event));
    deepStrictEqual(
      late.map(({ id }) => id),
      [1, 2, 3, 4, 5],
    );
    await run.settled;
  });

  it("a listener receives nothing after the end of the run", async () => {
    const { run } = (await open()).create(newRun({ exactly: "a" }));
    run.finish("cancelled");
    run.metrics(trainRow(1));
    run.enter("running");
    run.finish("done");
    deepStrictEqual([run.state, run.summary.step], ["cancelled", 0]);
    await rejects(async () => JSON.parse(readFileSync(join(run.directory, "metrics.jsonl"), "utf8")));
  });

  it("a run writes no secrets to its files: in lines, events and the error that ended it", async () => {
    const { run } = (await open()).create(newRun({ exactly: "a" }));
    const [address, shown] = ["redis://me:s3cret@h:1", "redis://h:1"];
    run.log("worker 0", `crash at ${address}`);
    run.record({ type: "batch_skipped", step: 3, batch: 2, error: { code: "LAP_LOSS_SPIKE", message: address } });
    run.finish("failed", { code: "LAP_INTERNAL", message: address, place: address, remedy: address, exit: 1 });
    strictEqual(run.summary.error?.message, shown);
    const files = readdirSync(run.directory, { recursive: true, encoding: "utf8" }).map((name) => join(run.directory, name));
    const written = files.filter((path) => statSync(path).isFile()).map((path) => readFileSync(path, "utf8"));
    ok(written.join("\n").includes(shown));
    ok(!written.join("\n").includes("s3cret"));
  });

  it("a run writes the lines of each source to a log of its own too, an event with its description", async () => {
    const { run } = (await open()).create(newRun({ exactly: "a" }));
    const event = { type: "batch_skipped", step: 3, batch: 2, error: { code: "LAP_LOSS_SPIKE", message: "m" } } as const;
    run.log("worker 0", "hello");
    run.record(event);
    ok(readFileSync(join(run.directory, "logs", "worker-0.log"), "utf8").endsWith("Z hello\n"));
    ok(readFileSync(join(run.directory, "logs", "coordinator.log"), "utf8").endsWith(`Z ${describeEvent(event)}\n`));
    const logged = (await readJournal(run.directory)).flatMap(({ event: kind, data }) => (kind === "log" ? [data] : []));
    deepStrictEqual(
      logged.map(({ source, line, run_event }) => [source, line, run_event]),
      [
        ["worker 0", "hello", undefined],
        ["coordinator", describeEvent(event), event],
      ],
    );
  });

  it("a run records events however many lines its workers have written", async () => {
    const { run } = (await open()).create(newRun({ exactly: "a" }));
    for (let i = 0; i < 20_001; i++) run.log("worker 0", "x");
    run.record({ type: "cancel_requested" });
    const logged = (await readJournal(run.directory)).filter(({ event }) => event === "log");
    strictEqual(logged.length, 20_001);
    deepStrictEqual(
      runEventsIn(logged).events.map(({ type }) => type),
      ["cancel_requested"],
    );
  });
});
