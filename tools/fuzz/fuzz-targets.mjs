/** All fuzz targets. The packages define them, and their tests draw some hundreds of inputs from each. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  manifestFuzzTarget,
  openHttpFuzzTargets,
  stepLogFuzzTarget,
  streamFuzzTarget,
} from "../../packages/coordinator/dist/testing/fuzz.js";
import { frameFuzzTarget } from "../../packages/fabric/dist/testing/fuzz.js";
import { safetensorsFuzzTarget } from "../../packages/interop/dist/testing/fuzz.js";
import { openServingFuzzTarget } from "../../packages/serving/dist/testing/fuzz.js";
import { stablehloFuzzTarget } from "../../packages/stablehlo/dist/testing/fuzz.js";
import { modelFuzzTarget } from "../../packages/tokenizer/dist/testing/fuzz.js";
import { jobFuzzTarget } from "../../packages/training/dist/testing/fuzz.js";

export const root = resolve(fileURLToPath(import.meta.url), "../../..");

/** @returns {Promise<{ targets: readonly import("../../packages/std/dist/testing/fuzz.js").FuzzTarget[], close: () => Promise<void> }>} */
export async function openTargets() {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-fuzz-"));
  const http = await openHttpFuzzTargets(join(directory, "runs"), root);
  const serving = await openServingFuzzTarget();
  return {
    targets: [
      frameFuzzTarget,
      safetensorsFuzzTarget,
      modelFuzzTarget,
      stablehloFuzzTarget,
      manifestFuzzTarget,
      stepLogFuzzTarget,
      jobFuzzTarget(join(root, "configs")),
      ...http.targets,
      streamFuzzTarget,
      serving.target,
    ],
    async close() {
      await serving.close();
      await http.close().finally(() => rmSync(directory, { recursive: true, force: true }));
    },
  };
}
