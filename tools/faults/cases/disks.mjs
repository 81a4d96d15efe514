/** Disks that are full, read-only, fail, or return damaged data. */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "../../../packages/api/dist/run-events.js";
import { waitFor } from "../test-cluster.mjs";
import { committed, finish, launch, reached, signalTo, steps } from "./context.mjs";

/** @typedef {import("./context.mjs").FaultCase} FaultCase */

/** @type {FaultCase[]} */
export const diskCases = [
  {
    name: "newest checkpoint damaged, then everything killed",
    row: "any bit of a checkpoint flipped",
    async run(context) {
      const { cluster, id, random } = context;
      const client = await launch(context);
      await waitFor("two checkpoints", async () => (await client.checkpoints(id)).checkpoints.length >= 2);
      const pids = cluster.processesOfWorkers();
      await cluster.end("SIGKILL");
      for (const pid of pids) signalTo(pid, "SIGKILL");
      const checkpoints = join(cluster.runDirectory(id), "checkpoints");
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
      await cluster.start();
      const result = await finish(context);
      return {
        result,
        expect: ({ events }) =>
          events.filter(isOfType("checkpoint_rejected")).some(({ step }) => step === newest) ? undefined : "the damage was not detected",
      };
    },
  },
  {
    name: "checkpoint cannot be written",
    row: "disk full, EIO, read-only",
    async run(context) {
      await launch(context, { failpoints: `shard-half-written@${4 + 4 * context.random.integer(2)},c:throw` });
      const result = await finish(context);
      return {
        result,
        expect: ({ events }) => (events.some(isOfType("checkpoint_failed")) ? undefined : "no event reports the failure"),
      };
    },
  },
  {
    name: "checkpoint reaches the disk damaged",
    row: "disk full, EIO, read-only",
    async run(context) {
      await launch(context, { failpoints: `shard-half-written@${4 + 4 * context.random.integer(2)},c:corrupt` });
      const result = await finish(context);
      return {
        result,
        expect: ({ events }) => (checkpointFailedWith(events, "LAP_CHECKPOINT_DAMAGED") ? undefined : "no event reports the failure"),
      };
    },
  },
  ...["full", "read-only"].map(
    /** @returns {FaultCase} */ (kind) => ({
      name: `disk ${kind} during a checkpoint`,
      row: "disk full, EIO, read-only",
      needsRoot: true,
      async run(context) {
        const { cluster, id } = context;
        const client = await launch(context, { more: { steps } });
        const directory = join(cluster.runDirectory(id), "checkpoints");
        mount(["-t", "tmpfs", "-o", "size=64M", "lapidary-faults", directory]);
        try {
          await waitFor("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
          mount(["-o", kind === "full" ? "remount,size=5M" : "remount,ro", directory]);
          await waitFor(
            "the refusal",
            async () =>
              (await cluster.events(id)).events.some(isOfType("checkpoint_failed")) || (await client.get(id)).finished_at !== undefined,
          );
          const whole = (await client.checkpoints(id)).checkpoints.length;
          mount(["-o", kind === "full" ? "remount,size=64M" : "remount,rw", directory]);
          let result = await finish(context);
          // If the last checkpoint failed, the job fails with this code and is resumed.
          const failedAtEnd = result.code === "LAP_CHECKPOINT_WRITE";
          if (failedAtEnd) {
            await client.resume(id);
            result = await finish(context);
          }
          const reported = checkpointFailedWith(result.events, "LAP_CHECKPOINT_WRITE", ["ENOSPC", "EROFS"]);
          return {
            result,
            expect: () => (reported && whole > 0 ? undefined : `reported: ${reported}, whole: ${whole}`),
            ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
          };
        } finally {
          spawnSync("umount", ["-l", directory]);
        }
      },
    }),
  ),
  {
    name: "fsync fails during a checkpoint",
    row: "disk full, EIO, read-only",
    needsFaultPreload: true,
    async run(context) {
      const { cluster, id } = context;
      const client = await launch(context, { env: cluster.faultPreload() });
      await waitFor("a checkpoint", async () => (await client.checkpoints(id)).checkpoints.length > 0);
      cluster.injectFault("fsync", "/checkpoints/");
      await waitFor(
        "the refusal",
        async () =>
          (await cluster.events(id)).events.some(isOfType("checkpoint_failed")) || (await client.get(id)).finished_at !== undefined,
      );
      const whole = (await client.checkpoints(id)).checkpoints.length;
      cluster.injectFault("fsync", undefined);
      let result = await finish(context);
      const failedAtEnd = result.code === "LAP_CHECKPOINT_WRITE";
      if (failedAtEnd) {
        await client.resume(id);
        result = await finish(context);
      }
      const reported = checkpointFailedWith(result.events, "LAP_CHECKPOINT_WRITE", ["EIO"]);
      return {
        result,
        minFirings: 1,
        expect: () => (reported && whole > 0 ? undefined : `reported: ${reported}, whole: ${whole}`),
        ...(failedAtEnd ? { note: "at the last checkpoint: resumed" } : {}),
      };
    },
  },
  ...["ledger.jsonl", "events.jsonl"].map(
    /** @returns {FaultCase} */ (file) => ({
      name: `fdatasync of ${file} fails`,
      row: "disk full, EIO, read-only",
      needsFaultPreload: true,
      async run(context) {
        const { cluster, id, random } = context;
        const client = await launch(context, { env: cluster.faultPreload() });
        await reached(context, 1 + random.integer(6));
        cluster.injectFault("fsync", `/${id}/${file}`);
        const refused = await finish(context);
        const before = committed(context);
        cluster.injectFault("fsync", undefined);
        const { from_step } = await client.resume(id);
        const right = refused.code === "LAP_LEDGER_WRITE" || refused.code === "LAP_JOURNAL_WRITE";
        const result = await finish(context);
        return {
          result,
          expect: () =>
            right && from_step <= before
              ? undefined
              : `${refused.state} ${refused.code} ${refused.message}; resumed after step ${from_step} of ${before}`,
          minFirings: 1,
          note: "stops, and is resumed",
        };
      },
    }),
  ),
];

/**
 * Whether a checkpoint failed with this error code and one of these errors of the operating system.
 * @param {readonly import("../test-cluster.mjs").RunEvent[]} events @param {string} code @param {readonly string[]} [systemCodes]
 */
const checkpointFailedWith = (events, code, systemCodes) =>
  events
    .filter(isOfType("checkpoint_failed"))
    .some(({ error }) => error.code === code && (systemCodes === undefined || systemCodes.includes(error.system_code ?? "")));

/** @param {readonly string[]} words */
function mount(words) {
  const { status, stderr } = spawnSync("mount", words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${words.join(" ")}: ${stderr}`);
}
