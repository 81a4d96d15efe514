/** Disks that are full, read-only, refuse, lie or are damaged. */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { until } from "../yard.mjs";
import { committed, finish, launch, reached, signalTo, steps } from "./scene.mjs";

/** @typedef {import("./scene.mjs").FaultCase} FaultCase */

/** @type {FaultCase[]} */
export const diskCases = [
  {
    name: "newest checkpoint damaged, then everything killed",
    row: "any bit of a checkpoint flipped",
    async run(scene) {
      const { yard, id, random } = scene;
      const client = await launch(scene);
      await until("two checkpoints", async () => (await client.checkpoints(id)).checkpoints.length >= 2);
      const pids = yard.processesOfWorkers();
      await yard.end("SIGKILL");
      for (const pid of pids) signalTo(pid, "SIGKILL");
      const checkpoints = join(yard.runDirectory(id), "checkpoints");
      const newest = Math.max(
        ...readdirSync(checkpoints)
          .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
          .map(Number),
      );
      const file = join(
        checkpoints,
        `step-${newest}`,
        ["model.safetensors", "optimizer.safetensors", "manifest.json"][random.integer(3)] ?? "",
      );
      const bytes = readFileSync(file);
      const at = random.integer(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8));
      writeFileSync(file, bytes);
      await yard.start();
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ events }) =>
          events.filter(isOfType("checkpoint_rejected")).some(({ step }) => step === newest) ? undefined : "the damage was not noticed",
      };
    },
  },
  {
    name: "checkpoint cannot be written",
    row: "disk full, EIO, read-only",
    async run(scene) {
      await launch(scene, { failpoints: `shard-half-written@${4 + 4 * scene.random.integer(2)},c:throw` });
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ events }) => (events.some(isOfType("checkpoint_failed")) ? undefined : "no event says so"),
      };
    },
  },
  {
    name: "checkpoint reaches the disk damaged",
    row: "disk full, EIO, read-only",
    async run(scene) {
      await launch(scene, { failpoints: `shard-half-written@${4 + 4 * scene.random.integer(2)},c:corrupt` });
      const ending = await finish(scene);
      return {
        ending,
        expect: ({ events }) => (refusedWith(events, "LAP_CHECKPOINT_DAMAGED") ? undefined : "no event says so"),
      };
    },
  },
  ...["full", "read-only"].map(
    /** @returns {FaultCase} */ (kind) => ({
      name: `disk ${kind} during a checkpoint`,
      row: "disk full, EIO, read-only",
      needsRoot: true,
      async run(scene) {
        const { yard, id } = scene;
        const client = await launch(scene, { more: { steps } });
        const place = join(yard.runDirectory(id), "checkpoints");
        mount(["-t", "tmpfs", "-o", "size=64M", "lapidary-faults", place]);
        try {
          await until("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
          mount(["-o", kind === "full" ? "remount,size=5M" : "remount,ro", place]);
          await until(
            "the refusal",
            async () =>
              (await yard.events(id)).events.some(isOfType("checkpoint_failed")) || (await client.get(id)).finished_at !== undefined,
          );
          const whole = (await client.checkpoints(id)).checkpoints.length;
          mount(["-o", kind === "full" ? "remount,size=64M" : "remount,rw", place]);
          let ending = await finish(scene);
          // The last checkpoint met the bad disk: then the job says so, and is resumed.
          const failedAtEnd = ending.code === "LAP_CHECKPOINT_WRITE";
          if (failedAtEnd) {
            await client.resume(id);
            ending = await finish(scene);
          }
          const told = refusedWith(ending.events, "LAP_CHECKPOINT_WRITE", ["ENOSPC", "EROFS"]);
          return {
            ending,
            expect: () => (told && whole > 0 ? undefined : `told: ${told}, whole: ${whole}`),
            ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
          };
        } finally {
          spawnSync("umount", ["-l", place]);
        }
      },
    }),
  ),
  {
    name: "fsync fails during a checkpoint",
    row: "disk full, EIO, read-only",
    needsWeather: true,
    async run(scene) {
      const { yard, id } = scene;
      const client = await launch(scene, { env: yard.weather() });
      await until("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
      yard.setWeather("fsync", "/checkpoints/");
      await until(
        "the refusal",
        async () => (await yard.events(id)).events.some(isOfType("checkpoint_failed")) || (await client.get(id)).finished_at !== undefined,
      );
      const whole = (await client.checkpoints(id)).checkpoints.length;
      yard.setWeather("fsync", undefined);
      let ending = await finish(scene);
      const failedAtEnd = ending.code === "LAP_CHECKPOINT_WRITE";
      if (failedAtEnd) {
        await client.resume(id);
        ending = await finish(scene);
      }
      const told = refusedWith(ending.events, "LAP_CHECKPOINT_WRITE", ["EIO"]);
      return {
        ending,
        mustFire: 1,
        expect: () => (told && whole > 0 ? undefined : `told: ${told}, whole: ${whole}`),
        ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
      };
    },
  },
  ...["ledger.jsonl", "events.jsonl"].map(
    /** @returns {FaultCase} */ (file) => ({
      name: `fdatasync of ${file} fails`,
      row: "disk full, EIO, read-only",
      needsWeather: true,
      async run(scene) {
        const { yard, id, random } = scene;
        const client = await launch(scene, { env: yard.weather() });
        await reached(scene, 1 + random.integer(6));
        yard.setWeather("fsync", `/${id}/${file}`);
        const refused = await finish(scene);
        const before = committed(scene);
        yard.setWeather("fsync", undefined);
        const { from_step } = await client.resume(id);
        const right = refused.code === "LAP_LEDGER_WRITE" || refused.code === "LAP_JOURNAL_WRITE";
        const ending = await finish(scene);
        return {
          ending,
          expect: () =>
            right && from_step <= before
              ? undefined
              : `${refused.state} ${refused.code} ${refused.message}; resumed behind ${from_step} of ${before}`,
          mustFire: 1,
          note: "stops, and is resumed",
        };
      },
    }),
  ),
];

/**
 * Whether a checkpoint was not written because of this error, and one of these answers of the operating system.
 * @param {readonly import("../yard.mjs").RunEvent[]} events @param {string} code @param {readonly string[]} [systemCodes]
 */
const refusedWith = (events, code, systemCodes) =>
  events
    .filter(isOfType("checkpoint_failed"))
    .some(({ error }) => error.code === code && (systemCodes === undefined || systemCodes.includes(error.system_code ?? "")));

/** @param {readonly string[]} words */
function mount(words) {
  const { status, stderr } = spawnSync("mount", words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${words.join(" ")}: ${stderr}`);
}
