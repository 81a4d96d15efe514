import { deepStrictEqual, equal, match } from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointStore, nodeDisk } from "@lapidary/checkpoint";
import { ExitCode } from "@lapidary/std";
import { runCli } from "../testing/cli-process.js";

const golden = fileURLToPath(new URL("../../../../e2e/golden/mqa", import.meta.url));

describe("checkpoints", () => {
  let home: string;
  const cli = (...args: string[]): ReturnType<typeof runCli> => runCli([...args, "--home", home, "--json"], { cwd: home });
  const fields = async (...args: string[]): Promise<Record<string, unknown>> =>
    JSON.parse((await cli(...args)).stdout) as Record<string, unknown>;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "lapidary-"));
    for (const step of [9, 10]) {
      const directory = join(home, "runs/mine/checkpoints", `step-${step}`);
      mkdirSync(directory, { recursive: true });
      for (const name of ["config.json", "model.safetensors"]) cpSync(join(golden, name), join(directory, name));
    }
    // One that is just being written, and a run without any.
    mkdirSync(join(home, "runs/mine/checkpoints/.writing-11"));
    mkdirSync(join(home, "runs/fresh"));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it("are listed by step, of one run or of all", async () => {
    const steps = async (...args: string[]): Promise<unknown> =>
      ((await fields("ckpt", "list", ...args))["checkpoints"] as { step: number }[]).map(({ step }) => step);
    deepStrictEqual([await steps(), await steps("mine"), await steps("fresh")], [[9, 10], [9, 10], []]);
    const { code, stdout } = await cli("ckpt", "list", "mime");
    equal(code, ExitCode.notFound);
    match(stdout, /did you mean \\"mine\\"\?/);
  });

  it("are found by run, the last of it, or by directory", async () => {
    deepStrictEqual([(await fields("ckpt", "inspect", "mine"))["step"], (await fields("ckpt", "inspect", golden))["step"]], [10, null]);
    equal((await cli("ckpt", "inspect", "fresh")).code, ExitCode.notFound);
    equal((await cli("ckpt", "inspect", "../mine")).code, ExitCode.notFound);
  });

  it("of a run are verified byte by byte; what was changed is named", async () => {
    const directory = join(home, "runs/mine/checkpoints");
    for (const step of [9, 10]) rmSync(join(directory, `step-${step}`), { recursive: true });
    const store = new CheckpointStore({ disk: nodeDisk, directory, fence: { epoch: 1, check: () => undefined } });
    const files = new Map(["config.json", "model.safetensors"].map((name) => [name, [[name, readFileSync(join(golden, name))] as const]]));
    const about = { run: "mine", step: 11, time: 0, mesh: "data=2", zero: 0, workers: 1, program: "p", ledger: "l" };
    const { path } = await store.write({ files, about }, 1);
    deepStrictEqual([(await fields("ckpt", "verify", "mine"))["ok"], (await fields("ckpt", "verify", "mine"))["sealed"]], [true, true]);
    const file = join(path, "model.safetensors");
    const bytes = readFileSync(file);
    bytes[bytes.length - 4] = (bytes[bytes.length - 4] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const { code, stdout } = await cli("ckpt", "verify", "mine");
    equal(code, ExitCode.other);
    match(stdout, /LAP_CHECKPOINT_DAMAGED.*step-11: model\.safetensors/);
    rmSync(join(path, "manifest.json"));
    match((await cli("ckpt", "verify", "mine")).stdout, /manifest\.json is damaged: it is missing/);
  });

  it("are exported as a directory that holds the same weights and verifies", async () => {
    deepStrictEqual((await fields("ckpt", "export", "mine", "-o", "out"))["files"], ["config.json", "model.safetensors"]);
    const { ok, tensors, bytes } = await fields("ckpt", "verify", "out");
    deepStrictEqual([ok, tensors, bytes], [true, 20, 90432 * 4]);
    const config: unknown = JSON.parse(readFileSync(join(home, "out/config.json"), "utf8"));
    equal((config as { model_type: string }).model_type, "gemma");
  });
});
