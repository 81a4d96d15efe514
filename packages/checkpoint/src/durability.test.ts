import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { forEachState, recordWrites, type Recording, temporaryDirectory } from "@lapidary/std/testing";
import { type CheckpointContent, CheckpointStore, verifyCheckpoint } from "./checkpoint-store.js";
import { type Disk, nodeDiskWith } from "./disk.js";
import { RunFence } from "./run-fence.js";
import { StepLog, type StepOutcome } from "./step-log.js";

/** Through Node, whose calls are recorded. The native disk has the same order, because the store decides it. */
const disk = nodeDiskWith(undefined);

/** For the states after a power cut, of which none has another power cut: without syncs, which take most of the time. */
const unsynced: Disk = {
  ...disk,
  create: async (directory, names) => ({ ...(await disk.create(directory, names)), sync: () => Promise.resolve() }),
  syncDirectory: () => Promise.resolve(),
  syncDirectoryNow: () => undefined,
  syncFile: () => undefined,
};

const outcome = (step: number): StepOutcome => ({ loss: 10 / step, grad_norm: 1.5, learning_rate: 0.1, tokens_counted: 64 });

const content = (step: number): CheckpointContent => ({
  about: { run: "r", step, time: step, mesh: "data=2", zero: 3, workers: 2, program: "p", ledger: `digest of ${step}` },
  files: new Map([
    ["model.safetensors", [["embed", new Uint8Array(20).fill(step)]]],
    ["config.json", [["config.json", new Uint8Array(4).fill(step)]]],
  ]),
});

describe("the order of writes, for a power cut after each of them and any loss of unsynced data", () => {
  const directory = temporaryDirectory();

  /** An existing, durable directory of a run. */
  const newRun = (): string => mkdtempSync(join(directory(), "run-"));

  const recordSteps = (run = newRun()): Promise<Recording> =>
    recordWrites(run, (mark) => {
      for (const [from, to] of [
        [0, 3],
        [2, 5],
      ] as const) {
        const log = new StepLog(disk, run, RunFence.claim(disk, run));
        log.begin(from, "a", log.digestAt(from), from === 0 ? undefined : "a worker was killed");
        for (let step = from + 1; step <= to; step++) log.commit(step, outcome(step));
        log.sync();
        mark(String(to));
      }
    });

  async function checkSteps(recording: Recording): Promise<number> {
    const reference = newRun();
    const whole = new StepLog(unsynced, reference, RunFence.claim(unsynced, reference));
    whole.begin(0, "a", undefined, undefined);
    for (let step = 1; step <= 6; step++) whole.commit(step, outcome(step));
    return forEachState(recording, (run, marks) => {
      const log = new StepLog(unsynced, run, RunFence.claim(unsynced, run));
      ok(log.last >= Number(marks.at(-1) ?? 0), `${log.last} steps are left of ${marks.at(-1)}`);
      for (let step = 0; step <= log.last; step++) strictEqual(log.digestAt(step), whole.digestAt(step));
      log.begin(log.last, "a", log.digestAt(log.last), undefined);
      for (let step = log.last + 1; step <= 6; step++) log.commit(step, outcome(step));
      const next = new StepLog(unsynced, run, RunFence.claim(unsynced, run));
      deepStrictEqual([next.last, next.digestAt(6)], [6, whole.digestAt(6)]);
    });
  }

  it("the step log has every synced step, and a run continues after its last complete step", async () => {
    const states = await checkSteps(await recordSteps());
    ok(states > 100, `${states} states`);
  });

  async function recordEpochs(): Promise<Recording> {
    const run = newRun();
    return recordWrites(run, (mark) => {
      for (let attempt = 0; attempt < 4; attempt++) mark(String(RunFence.claim(disk, run).epoch));
    });
  }

  const checkEpochs = (recording: Recording): Promise<number> =>
    forEachState(recording, (run, marks) => {
      const { epoch } = RunFence.claim(unsynced, run);
      ok(epoch > Number(marks.at(-1) ?? 0), `epoch ${epoch} after ${marks.at(-1)}`);
    });

  it("an attempt has a higher epoch than every attempt before it that began", async () => {
    const states = await checkEpochs(await recordEpochs());
    ok(states > 8, `${states} states`);
  });

  const storeOf = (run: string, used: Disk): CheckpointStore =>
    new CheckpointStore({ disk: used, directory: join(run, "checkpoints"), fence: RunFence.claim(used, run) });

  const recordCheckpoints = async (): Promise<Recording> => {
    const run = newRun();
    const store = storeOf(run, disk);
    return recordWrites(run, async (mark) => {
      for (const step of [1, 2]) {
        await store.write(content(step), 1);
        mark(String(step));
      }
    });
  };

  const checkCheckpoints = (recording: Recording): Promise<number> =>
    forEachState(recording, async (run, marks) => {
      const store = storeOf(run, unsynced);
      const newest = await store.newest(() => undefined);
      const step = newest?.manifest.step ?? 0;
      ok(step >= Number(marks.at(-1) ?? 0), `the newest checkpoint is ${step} of ${marks.at(-1)}`);
      await store.sweep();
      await store.write(content(3), 1);
      const { manifest, path } = (await storeOf(run, unsynced).newest((error) => {
        throw error;
      })) ?? { manifest: undefined, path: "" };
      strictEqual(manifest?.step, 3);
      deepStrictEqual(await verifyCheckpoint(disk, path), manifest);
      deepStrictEqual(readdirSync(path).sort(), ["config.json", "manifest.json", "model.safetensors"]);
    });

  it("the newest checkpoint that was reported is complete, and the store writes the next one", async function () {
    this.timeout(60_000);
    const states = await checkCheckpoints(await recordCheckpoints());
    ok(states > 50, `${states} states`);
  });

  const steps = async (path: RegExp): Promise<number> => checkSteps((await recordSteps()).withoutSyncs(path));
  const epochs = async (path: RegExp): Promise<number> => checkEpochs((await recordEpochs()).withoutSyncs(path));
  const checkpoints = async (path: RegExp): Promise<number> => checkCheckpoints((await recordCheckpoints()).withoutSyncs(path));

  for (const [title, check, path] of [
    ["of the step log", steps, /ledger/],
    ["of the directory with the step log", steps, /^\.$/],
    ["of the directory with the epochs", epochs, /epochs$/],
    ["of the directory with the directory of epochs", epochs, /^\.$/],
    ["of a weight file", checkpoints, /model\.safetensors/],
    ["of a small file of a checkpoint", checkpoints, /config\.json/],
    ["of a manifest", checkpoints, /manifest/],
    ["of the draft of a checkpoint", checkpoints, /\.writing-[^/]*$/],
    ["of the directory of the checkpoints", checkpoints, /checkpoints$/],
    ["of the directory above the checkpoints", checkpoints, /^\.$/],
  ] as const)
    it(`this test finds a missing sync ${title}`, () => rejects(check(path), /left of|after|newest checkpoint is/));
});
