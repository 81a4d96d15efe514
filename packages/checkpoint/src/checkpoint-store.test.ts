import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { Failpoints, type FailpointAction, type FailpointName, type LapidaryError, ensure, seededRandom } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type CheckpointContent, CheckpointStore, verifyCheckpoint } from "./checkpoint-store.js";
import { type Disk, nodeDisk as bestDisk, nodeDiskWith } from "./disk.js";
import { RunFence } from "./run-fence.js";

/** Numbers that differ from step to step. */
function content(step: number): CheckpointContent {
  const random = seededRandom(step);
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.integer(256));
  return {
    about: { run: "r", step, time: step, mesh: "data=2", zero: 3, workers: 2, program: "p", ledger: `digest of ${step}` },
    files: new Map([
      [
        "model.safetensors",
        [
          ["header", bytes(100)],
          ["embed", bytes(9000)],
          ["norm", bytes(0)],
          ["q_proj", bytes(5000)],
        ],
      ],
      ["config.json", [["config.json", bytes(50)]]],
    ]),
  };
}

for (const [how, nodeDisk] of [
  ["on this machine's disk", bestDisk],
  ["on a disk that Node writes", nodeDiskWith(undefined)],
] as const)
  describe(`the store of checkpoints ${how}`, () => {
    const directory = temporaryDirectory();
    const store = (change: { readonly disk?: Disk; readonly failpoints?: Failpoints } = {}): CheckpointStore =>
      new CheckpointStore({ disk: nodeDisk, directory: directory(), fence: RunFence.claim(nodeDisk, directory()), ...change });
    const refusals: LapidaryError[] = [];
    const newest = async (): Promise<number | undefined> => {
      refusals.length = 0;
      return (await store().newest((error) => refusals.push(error)))?.manifest.step;
    };

    it("the store keeps the newest checkpoints, and removes older ones only after it has read back the newer one", async () => {
      for (const step of [10, 20, 30]) await store().write(content(step), 2);
      deepStrictEqual(
        readdirSync(directory())
          .filter((name) => name.startsWith("step-"))
          .sort(),
        ["step-20", "step-30"],
      );
      const lying: Disk = {
        ...nodeDisk,
        create: async (path, names) => {
          const files = await nodeDisk.create(path, names);
          // A disk that reports a write and stores other bytes.
          const write: typeof files.write = async (parts) => {
            await files.write(
              parts.map((ofFile, i) =>
                names[i] === "model.safetensors" ? ofFile.map(({ bytes }) => ({ bytes: bytes.map((byte) => byte ^ 128) })) : ofFile,
              ),
            );
            return parts.map((ofFile) => ofFile.map(({ bytes }) => crc32(bytes)));
          };
          return { ...files, write };
        },
      };
      await rejects(store({ disk: lying }).write(content(40), 2), { code: "LAP_CHECKPOINT_DAMAGED" });
      strictEqual(await newest(), 30);
      strictEqual(await newest(), 30);
      ok(refusals.some(({ location: place }) => place?.includes("step-40: model.safetensors")));
      ok(readdirSync(directory()).includes("step-20"));
    });

    it("the store rejects every one of 1,000 random bit flips with the file and the tensor, and uses the checkpoint before", async () => {
      await store().write(content(1), 3);
      const { path } = await store().write(content(2), 3);
      const random = seededRandom(7);
      const files = readdirSync(path).map((name) => ({ name, whole: readFileSync(join(path, name)) }));
      for (let i = 0; i < 1000; i++) {
        const { name, whole } = ensure(files[random.integer(files.length)], "file");
        const flipped = Buffer.from(whole);
        const [at, bit] = [random.integer(whole.length), random.integer(8)];
        flipped[at] = ensure(flipped[at], "byte") ^ (1 << bit);
        writeFileSync(join(path, name), flipped);
        await rejects(
          verifyCheckpoint(nodeDisk, path),
          (error: LapidaryError) => error.code === "LAP_CHECKPOINT_DAMAGED" && error.location?.includes(name) === true,
        );
        if (i % 100 === 0) strictEqual(await newest(), 1);
        writeFileSync(join(path, name), whole);
      }
      const model = ensure(
        files.find(({ name }) => name === "model.safetensors"),
        "model",
      );
      const bytes = Buffer.from(model.whole);
      bytes[9200] = ensure(bytes[9200], "byte") ^ 1;
      writeFileSync(join(path, model.name), bytes);
      await rejects(verifyCheckpoint(nodeDisk, path), { message: /model\.safetensors: q_proj is damaged/ });
    });

    it("the store rejects a file that was truncated at every 4 KiB, that grew, or that is missing", async () => {
      await store().write(content(1), 3);
      const { path } = await store().write(content(2), 3);
      for (const name of readdirSync(path)) {
        const whole = readFileSync(join(path, name));
        for (const length of [0, 1, ...Array.from({ length: Math.ceil(whole.length / 4096) }, (_, i) => i * 4096), whole.length - 1]) {
          truncateSync(join(path, name), length);
          strictEqual(await newest(), 1);
          match(ensure(refusals[0], "refusal").location ?? "", new RegExp(name.replaceAll(".", "\\.")));
          writeFileSync(join(path, name), whole);
        }
        writeFileSync(join(path, name), Buffer.concat([whole, Buffer.from(" ")]));
        strictEqual(await newest(), 1);
        rmSync(join(path, name));
        strictEqual(await newest(), 1);
        writeFileSync(join(path, name), whole);
      }
      strictEqual(await newest(), 2);
    });

    for (const code of ["ENOSPC", "EIO", "EROFS"])
      for (const call of ["create", "write", "sync", "syncDirectory", "rename"] as const)
        it(`the old checkpoint stays complete when ${call} fails with ${code}`, async () => {
          await store().write(content(1), 1);
          const refuse = async (): Promise<never> => {
            throw Object.assign(new Error(`${code}: refused`), { code, syscall: call });
          };
          const broken: Disk = {
            ...nodeDisk,
            ...(call === "syncDirectory" || call === "rename" || call === "create" ? { [call]: refuse } : {}),
            ...(call === "write" || call === "sync"
              ? { create: async (...what: Parameters<Disk["create"]>) => ({ ...(await nodeDisk.create(...what)), [call]: refuse }) }
              : {}),
          };
          await rejects(
            store({ disk: broken }).write(content(2), 1),
            (error: LapidaryError) => error.code === "LAP_CHECKPOINT_WRITE" && error.message.includes(code),
          );
          const left = await newest();
          // A rename that was made and not synced still exists, and is complete.
          ok(left === 1 || (call === "syncDirectory" && left === 2), String(left));
          await store().sweep();
          deepStrictEqual(
            readdirSync(directory()).filter((name) => name.startsWith(".")),
            [],
          );
        });

    it("the store uses the checksums that it is given, and detects wrong ones when it reads the files back", async () => {
      const { about, files } = content(1);
      const known = (wrong: number): CheckpointContent => ({
        about,
        files: new Map(
          [...files].map(([name, parts]) => [
            name,
            parts.map(([part, bytes], i) => [part, bytes, i === 1 ? (crc32(bytes) ^ wrong) >>> 0 : undefined]),
          ]),
        ),
      });
      await rejects(store().write(known(1), 1), { code: "LAP_CHECKPOINT_DAMAGED", message: /model\.safetensors: embed/ });
      strictEqual(await newest(), undefined);
      await store().write(known(0), 1);
      strictEqual(await newest(), 1);
    });

    it("the store removes a checkpoint whose removal failed before, and accepts that another process removes one", async () => {
      let fails = true;
      const failing: Disk = {
        ...nodeDisk,
        remove: (path) =>
          fails && path.includes(".removed-")
            ? Promise.reject(Object.assign(new Error("EIO"), { code: "EIO", syscall: "unlink" }))
            : nodeDisk.remove(path),
      };
      const last = store({ disk: failing });
      await last.write(content(1), 1);
      await rejects(last.write(content(2), 1));
      strictEqual(await newest(), 2);
      fails = false;
      const meanwhile: Disk = {
        ...nodeDisk,
        create: async (...what) => {
          rmSync(join(directory(), "step-2"), { recursive: true, force: true });
          return nodeDisk.create(...what);
        },
      };
      await store({ disk: meanwhile }).write(content(3), 1);
      strictEqual(await newest(), 3);
    });

    it("the store writes nothing after another attempt has taken over", async () => {
      const stale = store();
      await stale.write(content(1), 3);
      const next = store();
      await rejects(stale.write(content(2), 3), { code: "LAP_EPOCH_STALE" });
      await next.write(content(2), 3);
      strictEqual(await newest(), 2);
    });

    it("the old or the new checkpoint is complete after an interruption at any write", async () => {
      const fire = (name: FailpointName, action: FailpointAction): Failpoints =>
        new Failpoints([{ name, steps: [0, 99], target: "c", action, times: 1, text: name }], {
          kill: () => {
            throw new Error("killed");
          },
          suspend: () => undefined,
          hang: () => undefined,
          claim: () => true,
        });
      await store().write(content(1), 2);
      for (const name of ["shard-half-written", "shard-synced", "before-manifest", "after-manifest"] as const) {
        await rejects(store({ failpoints: fire(name, "kill") }).write(content(2), 2), /killed/);
        strictEqual(await newest(), 1);
      }
      await rejects(store({ failpoints: fire("shard-half-written", "corrupt") }).write(content(2), 2), { code: "LAP_CHECKPOINT_DAMAGED" });
      strictEqual(await newest(), 1);
    });

    it("the store rejects a hostile manifest: too large, with unknown keys, with paths for names", async () => {
      const { path } = await store().write(content(1), 3);
      const file = join(path, "manifest.json");
      const whole = readFileSync(file, "utf8");
      for (const text of [
        "",
        "[]",
        "{",
        `{"__proto__":{"files":{}},${whole.slice(1)}`,
        whole.replace('"model.safetensors"', '"../../model.safetensors"'),
        whole.replace('"step": 1', '"step": 1,"step": 2'),
        whole.replace('"step": 1', '"step": 1e999'),
        `${whole} `,
        "[".repeat(100_000),
      ]) {
        writeFileSync(file, text);
        await rejects(verifyCheckpoint(nodeDisk, path), { code: "LAP_CHECKPOINT_DAMAGED" });
      }
      mkdirSync(join(directory(), "step-99"));
      copyFileSync(join(path, "config.json"), join(directory(), "step-99", "config.json"));
      strictEqual(await newest(), undefined);
      ok(statSync(file).size > 0);
    });
  });
