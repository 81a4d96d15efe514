import { deepStrictEqual, rejects } from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointStore, nodeDisk } from "@lapidary/checkpoint";
import { temporaryDirectory } from "@lapidary/std/testing";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { resolveCheckpoint } from "./resolve-checkpoint.js";
import { type VerifiedCheckpoint, verifyCheckpoint } from "./verify-checkpoint.js";

const golden = fileURLToPath(new URL("../../../../e2e/golden/mqa", import.meta.url));

describe("the verification of a checkpoint", () => {
  const home = temporaryDirectory();
  const { signal } = new AbortController();
  const verified = async (from: string): Promise<VerifiedCheckpoint> =>
    verifyCheckpoint(await resolveCheckpoint({ home: home(), cwd: home() }, from), collectingReporter().reporter, signal);

  it("without a manifest, it checks shapes and numbers", async () => {
    const { tensors, bytes, sealed, redundant } = await verified(golden);
    deepStrictEqual({ tensors, bytes, sealed, redundant }, { tensors: 20, bytes: 90432 * 4, sealed: false, redundant: [] });
  });

  it("in a run, it compares every byte with the manifest and names the damaged file", async () => {
    const directory = join(home(), "runs/mine/checkpoints");
    mkdirSync(directory, { recursive: true });
    const store = new CheckpointStore({ disk: nodeDisk, directory, fence: { epoch: 1, check: () => undefined } });
    const files = new Map(["config.json", "model.safetensors"].map((name) => [name, [[name, readFileSync(join(golden, name))] as const]]));
    const about = { run: "mine", step: 11, time: 0, mesh: "data=2", zero: 0, workers: 1, program: "p", ledger: "l" };
    const { path } = await store.write({ files, about }, 1);
    deepStrictEqual((await verified("mine")).sealed, true);

    const file = join(path, "model.safetensors");
    const bytes = readFileSync(file);
    bytes[bytes.length - 4] = (bytes[bytes.length - 4] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    await rejects(verified("mine"), { code: "LAP_CHECKPOINT_DAMAGED", message: /model\.safetensors/ });
    cpSync(join(golden, "model.safetensors"), file);
    rmSync(join(path, "manifest.json"));
    await rejects(verified("mine"), /manifest\.json is damaged: it is missing/);
  });
});
