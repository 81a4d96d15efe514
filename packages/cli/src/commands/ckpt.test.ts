import { deepStrictEqual, equal, match } from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ExitCode } from "@lapidary/std";
import { runCli } from "../testing/cli-process.js";

const golden = fileURLToPath(new URL("../../../../e2e/golden/mqa", import.meta.url));

describe("lapidary ckpt", () => {
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
    // A checkpoint that is being written, and a run without a checkpoint.
    mkdirSync(join(home, "runs/mine/checkpoints/.writing-11"));
    mkdirSync(join(home, "runs/fresh"));
  });
  afterEach(() => rmSync(home, { recursive: true }));

  it("`list` lists the checkpoints of one run or of all runs by step", async () => {
    const steps = async (...args: string[]): Promise<unknown> =>
      ((await fields("ckpt", "list", ...args))["checkpoints"] as { step: number }[]).map(({ step }) => step);
    deepStrictEqual([await steps(), await steps("mine"), await steps("fresh")], [[9, 10], [9, 10], []]);
    const { code, stdout } = await cli("ckpt", "list", "mime");
    equal(code, ExitCode.notFound);
    match(stdout, /did you mean \\"mine\\"\?/);
  });

  it("`inspect` finds the last checkpoint of a run, or a directory", async () => {
    deepStrictEqual([(await fields("ckpt", "inspect", "mine"))["step"], (await fields("ckpt", "inspect", golden))["step"]], [10, null]);
    equal((await cli("ckpt", "inspect", "fresh")).code, ExitCode.notFound);
    equal((await cli("ckpt", "inspect", "../mine")).code, ExitCode.notFound);
  });

  it("`export` writes a directory with the same weights, and `verify` accepts it", async () => {
    deepStrictEqual((await fields("ckpt", "export", "mine", "-o", "out"))["files"], ["config.json", "model.safetensors"]);
    const { ok, tensors, bytes } = await fields("ckpt", "verify", "out");
    deepStrictEqual([ok, tensors, bytes], [true, 20, 90432 * 4]);
    const config: unknown = JSON.parse(readFileSync(join(home, "out/config.json"), "utf8"));
    equal((config as { model_type: string }).model_type, "gemma");
  });
});
