import { ok, strictEqual } from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import { exportGolden, type GoldenCase } from "./xla-golden.js";
import { lossesOf, runExport } from "./xla.js";

/** Exports a golden run, trains both modules on XLA, and compares their losses with those of PyTorch. */
export async function expectGoldenLosses(python: string, directory: string, golden: GoldenCase): Promise<void> {
  const place = join(directory, `${golden.bundle}-${golden.mesh}-${Object.keys(golden.rules).join("-")}`.replaceAll(/[^a-z0-9]+/g, "-"));
  const expected = await exportGolden(place, golden);
  const runs = await Promise.all(
    ["chip", "whole"].map(async (text) => ({ text, losses: lossesOf(await runExport(python, place, "--text", text)) })),
  );
  for (const { text, losses } of runs) {
    strictEqual(losses.size, 5);
    for (const [step, loss] of losses) {
      const wanted = ensure(expected[step - 1], "loss");
      ok(Math.abs(loss - wanted) <= 2e-5, `${text}, step ${step}: ${loss} for ${wanted}`);
    }
  }
  rmSync(place, { recursive: true });
}
