import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import type { LapidaryError } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type CheckpointContent, CheckpointStore, readManifest, stepsIn, verifyCheckpoint } from "./checkpoint-store.js";
import { type Disk, nodeDiskWith } from "./disk.js";
import { maxManifestBytes, parseManifest, printManifest } from "./manifest.js";
import { type Fence, RunFence } from "./run-fence.js";

const disk = nodeDiskWith(undefined);

const content = (step: number, about: Partial<CheckpointContent["about"]> = {}): CheckpointContent => ({
  about: { run: "r", step, time: step, mesh: "data=2", zero: 3, workers: 2, program: "p", ledger: `digest of ${step}`, ...about },
  files: new Map([
    ["model.safetensors", [["embed", new Uint8Array(40).fill(step)]]],
    ["config.json", [["config.json", new Uint8Array(4).fill(step)]]],
  ]),
});

const systemError = (code: string): Error => Object.assign(new Error(code), { code, syscall: "rename" });

describe("the rules of the store of checkpoints", () => {
  const directory = temporaryDirectory();
  const store = (
    change: { readonly disk?: Disk; readonly epoch?: number; readonly at?: string; readonly onDeleted?: (step: number) => void } = {},
  ) => {
    const fence: Fence = { epoch: change.epoch ?? 5, check: () => undefined };
    const { onDeleted } = change;
    return new CheckpointStore({
      disk: change.disk ?? disk,
      directory: change.at ?? directory(),
      fence,
      ...(onDeleted === undefined ? {} : { onDeleted }),
    });
  };
  const names = (): string[] => readdirSync(directory()).sort();

  it("a step that is computed again keeps its checkpoint if state and program are the same, and replaces it otherwise", async () => {
    const { path } = await store().write(content(1), 1);
    const inode = statSync(path).ino;
    deepStrictEqual(await store().write(content(1, { time: 9 }), 1), { path, manifest: await readManifest(disk, path) });
    strictEqual(statSync(path).ino, inode);
    for (const about of [{ ledger: "another" }, { program: "another" }, { ledger: "a third", program: "a third" }]) {
      const before = statSync(path).ino;
      const { manifest } = await store().write(content(1, about), 1);
      deepStrictEqual([statSync(path).ino === before, manifest.ledger], [false, about.ledger ?? "digest of 1"]);
    }
    truncateSync(join(path, "config.json"), 1);
    await store().write(content(1), 1);
    await verifyCheckpoint(disk, path);
    deepStrictEqual(names(), ["step-1"]);
  });

  it("an error of the disk while the existing checkpoint is read ends the write", async () => {
    await store().write(content(1), 1);
    const failing: Disk = { ...disk, read: () => Promise.reject(systemError("EIO")) };
    await rejects(store({ disk: failing }).write(content(1), 1), { code: "EIO" });
  });

  it("the store has a step with a checkpoint, also a damaged one", async () => {
    const { path } = await store().write(content(7), 1);
    truncateSync(join(path, "config.json"), 1);
    deepStrictEqual([await store().has(7), await store().has(8)], [true, false]);
  });

  it("the newest checkpoint up to a limit includes the limit", async () => {
    for (const step of [2, 10, 30]) await store().write(content(step), 3);
    const upTo = async (limit: number): Promise<number | undefined> =>
      (await store().newest((error) => ok(false, error.message), limit))?.manifest.step;
    deepStrictEqual([await upTo(30), await upTo(29), await upTo(10), await upTo(9), await upTo(1)], [30, 10, 10, 2, undefined]);
  });

  it("a store keeps at least one checkpoint, and reports each older one once it is deleted", async () => {
    await rejects(store().write(content(1), 0), /at least one checkpoint is kept/);
    const deleted: [number, boolean][] = [];
    const reporting = store({ onDeleted: (step) => deleted.push([step, existsSync(join(directory(), `step-${step}`))]) });
    for (const step of [1, 2, 3, 4]) await reporting.write(content(step), 2);
    deepStrictEqual(deleted, [
      [1, false],
      [2, false],
    ]);
  });

  it("a sweep removes the incomplete directories of earlier attempts only", async () => {
    const kept = [".writing-3-5", ".writing-3-6", ".writing-3-4x", ".writing-", "a.writing-3-4", "step-9", "step-9-4"];
    const removed = [".writing-3-4", ".writing-12-4", ".removed-step-12-1", ".removed-step-2-4"];
    for (const name of [...kept, ...removed]) mkdirSync(join(directory(), name));
    await store().sweep();
    deepStrictEqual(names(), [...kept].sort());
    let checks = 0;
    const stale: Fence = { epoch: 9, check: () => void checks++ };
    await new CheckpointStore({ disk, directory: directory(), fence: stale }).sweep();
    strictEqual(checks, 1);
  });

  it("the first write of a store syncs the three directories above, each once, and none above the root", async () => {
    const synced: string[] = [];
    const place = join(directory(), "a/b/c/checkpoints");
    mkdirSync(place, { recursive: true });
    const recording: Disk = { ...disk, syncDirectory: async (path) => void synced.push(path) };
    const first = store({ disk: recording, at: place });
    await first.write(content(1), 1);
    const above = (path: string, levels: number): string => (levels === 0 ? path : above(dirname(path), levels - 1));
    deepStrictEqual(synced, [join(place, ".writing-1-5"), place, above(place, 1), above(place, 2), above(place, 3)]);
    synced.length = 0;
    await first.write(content(2), 1);
    deepStrictEqual(synced, [join(place, ".writing-2-5"), place]);
    synced.length = 0;
    const atRoot: Disk = {
      ...recording,
      list: () => Promise.resolve([]),
      create: (path, files) => disk.create(join(directory(), path), files),
      rename: (from, to) => disk.rename(join(directory(), from), join(directory(), to)),
      checksums: (path, files) => disk.checksums(join(directory(), path), files),
    };
    await store({ disk: atRoot, at: "/top" })
      .write(content(3), 1)
      .catch(() => undefined);
    strictEqual(synced.filter((path) => path === "/").length <= 1, true);
  });

  it("a checkpoint that cannot be moved away stays, unless another process has removed it", async () => {
    const attempts: string[] = [];
    const failing = (code: string): Disk => ({
      ...disk,
      rename: async (from, to) => {
        if (!to.includes(".removed-")) return disk.rename(from, to);
        attempts.push(to);
        throw systemError(code);
      },
    });
    await store().write(content(1), 1);
    await rejects(store({ disk: failing("EIO") }).write(content(2), 1), { code: "EIO" });
    strictEqual(attempts.length, 1);
    await store({ disk: failing("ENOENT") }).write(content(3), 1);
    deepStrictEqual(names(), ["step-1", "step-2", "step-3"]);
  });

  it("a checkpoint whose earlier removal failed is removed with what is left of it, for both codes of a directory that is not empty", async () => {
    for (const [step, code] of [
      [1, "ENOTEMPTY"],
      [3, "EEXIST"],
    ] as const) {
      let isFirst = true;
      const failing: Disk = {
        ...disk,
        rename: (from, to) => {
          const fails = isFirst && to.includes(".removed-");
          if (fails) isFirst = false;
          return fails ? Promise.reject(systemError(code)) : disk.rename(from, to);
        },
      };
      await store().write(content(step), 1);
      await store({ disk: failing }).write(content(step + 1), 1);
      deepStrictEqual([names(), isFirst], [[`step-${step + 1}`], false]);
    }
  });

  it("files are closed after a write that fails, too", async () => {
    let closed = 0;
    const failing: Disk = {
      ...disk,
      create: async (path, files) => ({
        write: () => Promise.reject(systemError("EIO")),
        sync: () => Promise.resolve(),
        close: async () => {
          closed++;
          await (await disk.create(path, files)).close();
        },
      }),
    };
    await rejects(store({ disk: failing }).write(content(1), 1), { code: "LAP_CHECKPOINT_WRITE" });
    strictEqual(closed, 1);
  });

  it("only whole names of steps are checkpoints, in the order of their numbers", () => {
    deepStrictEqual(stepsIn(["step-10", "step-9", "xstep-1", "step-2x", "step-", ".writing-3-1", "step-100"]), [9, 10, 100]);
    deepStrictEqual(stepsIn([]), []);
  });

  it("each damage has its own reason", async () => {
    const { path } = await store().write(content(1), 1);
    const manifestPath = join(path, "manifest.json");
    const manifest = await readManifest(disk, path);
    const problemOf = async (change: Partial<Disk>): Promise<string> => {
      const error = (await verifyCheckpoint({ ...disk, ...change }, path).catch((reason: unknown) => reason)) as LapidaryError;
      strictEqual(error.code, "LAP_CHECKPOINT_DAMAGED");
      return error.message;
    };
    const sizeOf =
      (name: string, bytes: number | undefined): Disk["size"] =>
      (of) =>
        of.endsWith(name) ? Promise.resolve(bytes) : disk.size(of);
    const sums = async (change: (all: number[]) => number[]): Promise<string> =>
      problemOf({ checksums: async (...of) => (await disk.checksums(...of)).map((all) => change([...all])) });
    deepStrictEqual(
      [
        await problemOf({ size: sizeOf("manifest.json", undefined) }),
        await problemOf({ size: sizeOf("manifest.json", maxManifestBytes + 1) }),
        await problemOf({ read: () => Promise.resolve(Uint8Array.of(0xff, 0xfe)) }),
        await problemOf({ read: () => Promise.resolve(Buffer.from("7")) }),
        await problemOf({ read: () => Promise.resolve(Buffer.from("null")) }),
        await problemOf({ read: () => Promise.resolve(Buffer.from(readFileSync(manifestPath, "utf8").replace('"time": 1', '"time": 2'))) }),
        await problemOf({ size: sizeOf("config.json", undefined) }),
        await problemOf({ size: sizeOf("config.json", 3) }),
        await sums((all) => all.slice(1)),
        await sums((all) => [...all, 0]),
        await sums((all) => all.map((sum) => sum ^ 1)),
      ],
      [
        "manifest.json is damaged: it is missing",
        `manifest.json is damaged: it has ${maxManifestBytes + 1} bytes`,
        "manifest.json is damaged: it is not UTF-8",
        "manifest.json is damaged: expected an object",
        "manifest.json is damaged: expected an object",
        "manifest.json is damaged: its checksum does not fit its content",
        "config.json is damaged: it is missing",
        "config.json is damaged: it has 3 bytes instead of 4",
        "model.safetensors is damaged: it ends too early",
        "model.safetensors is damaged: it is longer than its parts",
        "model.safetensors: embed is damaged: its bytes have changed",
      ],
    );
    // A manifest of the largest size is read.
    strictEqual((await readManifest({ ...disk, size: sizeOf("manifest.json", maxManifestBytes) }, path)).step, 1);
    const more = {
      ...manifest,
      files: { ...manifest.files, "config.json": { bytes: 4, parts: [{ name: "x", bytes: 3, crc32: "00000000" }] } },
    };
    strictEqual(
      await problemOf({ read: () => Promise.resolve(Buffer.from(printManifest(more))) }),
      "config.json is damaged: its parts have fewer or more bytes than the file",
    );
  });

  it("a manifest with a checksum of a whole file, as earlier versions wrote, is printed and read without a change", () => {
    const file = { bytes: 4, sha256: "a".repeat(64), parts: [{ name: "x", bytes: 4, crc32: "00000001" }] };
    const { about } = content(1);
    const manifest = { format: "lapidary-checkpoint/1" as const, ...about, epoch: 1, files: { "config.json": file } };
    deepStrictEqual(parseManifest(printManifest(manifest), "here"), manifest);
    throws(() => parseManifest("{}", "here"), { code: "LAP_CHECKPOINT_DAMAGED" });
    throws(
      () => parseManifest(`{"run": 7}`, "here"),
      (error: LapidaryError) => !error.message.includes("\n"),
    );
  });
});

describe("the disk through Node", () => {
  const directory = temporaryDirectory();

  /** The files below the directory that this process has open, on systems that list them. */
  const openFiles = (): string[] =>
    existsSync("/proc/self/fd")
      ? readdirSync("/proc/self/fd").flatMap((name) => {
          try {
            const path = readlinkSync(join("/proc/self/fd", name));
            return path.startsWith(directory()) ? [path] : [];
          } catch {
            // The descriptor of the listing itself.
            return [];
          }
        })
      : [];

  it("bytes are written completely, in order, and files are closed", async () => {
    const files = await disk.create(join(directory(), "deep/new"), ["a", "b"]);
    const parts = [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4)];
    deepStrictEqual(await files.write([parts.map((bytes) => ({ bytes })), []]), [parts.map((bytes) => crc32(bytes)), []]);
    await files.write([[{ bytes: Uint8Array.of(5), crc32: 9 }], [{ bytes: Uint8Array.of(6) }]]);
    await files.sync();
    await files.close();
    deepStrictEqual(openFiles(), []);
    deepStrictEqual([...readFileSync(join(directory(), "deep/new/a"))], [1, 2, 3, 4, 5]);
    deepStrictEqual([...readFileSync(join(directory(), "deep/new/b"))], [6]);
    // The directory is there.
    await (await disk.create(join(directory(), "deep/new"), ["a"])).close();
    strictEqual(readFileSync(join(directory(), "deep/new/a")).length, 0);
  });

  it("an error that is not a missing directory reaches the caller", async () => {
    writeFileSync(join(directory(), "file"), "");
    await rejects(disk.create(join(directory(), "file/below"), ["a"]), { code: "ENOTDIR" });
    await rejects(disk.create(directory(), ["file", "no/such"]), { code: "ENOENT" });
    await rejects(disk.read(directory()), { code: "EISDIR" });
    await rejects(disk.list(join(directory(), "file")), { code: "ENOTDIR" });
    throws(() => disk.readText(directory()), { code: "EISDIR" });
    throws(() => disk.listNow(join(directory(), "file")), { code: "ENOTDIR" });
    throws(() => disk.createExclusive(join(directory(), "file/below/x"), ""), { code: "ENOTDIR" });
    throws(() => disk.createExclusive(join(directory(), "x".repeat(300)), ""), { code: "ENAMETOOLONG" });
    deepStrictEqual(openFiles(), []);
  });

  it("a missing file has no size, bytes or names, and can be removed", async () => {
    const none = join(directory(), "none");
    deepStrictEqual(
      [await disk.list(none), await disk.size(none), await disk.read(none), disk.readText(none), disk.listNow(none)],
      [[], undefined, undefined, undefined, []],
    );
    await disk.remove(none);
    disk.removeNow(none);
  });

  it("a file is created exclusively once, with its text, for its owner only, as are the lines of a new log", () => {
    const path = join(directory(), "sub/7");
    deepStrictEqual(
      [disk.createExclusive(path, "mine"), disk.createExclusive(path, "yours"), readFileSync(path, "utf8")],
      [true, false, "mine"],
    );
    const log = join(directory(), "log");
    disk.append(log, "a\n");
    disk.append(log, "b\n");
    disk.syncFile(log);
    deepStrictEqual([statSync(path).mode & 0o777, statSync(log).mode & 0o777, readFileSync(log, "utf8")], [0o600, 0o600, "a\nb\n"]);
    throws(() => disk.syncFile(join(directory(), "none")), { code: "ENOENT" });
  });

  it("checksums cover the complete segments of a file, and show one more if the file continues", async () => {
    const bytes = Uint8Array.from({ length: 10 }, (_, i) => i);
    writeFileSync(join(directory(), "f"), bytes);
    const sums = async (...lengths: number[]): Promise<readonly number[]> =>
      (await disk.checksums(directory(), new Map([["f", lengths]])))[0] ?? [];
    const of = (from: number, to: number): number => crc32(bytes.subarray(from, to));
    deepStrictEqual(await sums(3, 0, 7), [of(0, 3), of(0, 0), of(3, 10)]);
    deepStrictEqual(await sums(3, 8), [of(0, 3)]);
    deepStrictEqual(await sums(3, 4), [of(0, 3), of(3, 7), 0]);
    deepStrictEqual(await sums(), [0]);
    deepStrictEqual(openFiles(), []);
  });

  it("an attempt keeps the two newest epochs, ignores other names, and creates them in their directory", () => {
    const run = join(directory(), "run");
    mkdirSync(join(run, "epochs"), { recursive: true });
    writeFileSync(join(run, "epochs/notes"), "");
    writeFileSync(join(run, "epochs/7.5"), "");
    const epochs = [1, 2, 3, 4].map(() => RunFence.claim(disk, run).epoch);
    deepStrictEqual(
      [epochs, readdirSync(join(run, "epochs")).sort()],
      [
        [1, 2, 3, 4],
        ["3", "4", "7.5", "notes"],
      ],
    );
    const stale = RunFence.claim(disk, run);
    stale.check();
    RunFence.claim(disk, run);
    throws(() => stale.check(), {
      code: "LAP_EPOCH_STALE",
      message: "attempt 5 of the run may not write any more: attempt 6 has taken over",
      newest: 6,
    });
  });

  it("an epoch that cannot be written is an error of the step log", () => {
    const failing: Disk = {
      ...disk,
      createExclusive: () => {
        throw systemError("EROFS");
      },
    };
    throws(() => RunFence.claim(failing, join(directory(), "runs/mine")), {
      code: "LAP_LEDGER_WRITE",
      message: "the epoch of the attempt cannot be written: EROFS",
      remedy: "free disk space, or check that the home directory can be written; then `lapidary jobs resume mine`",
    });
  });
});
