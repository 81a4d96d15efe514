/** All places where bytes come in that nobody vouches for. Their packages define them; their tests draw some hundreds of cases from each. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { stepLogDoor, manifestDoor, openHttpDoors, streamDoor } from "../../packages/coordinator/dist/testing/hostile.js";
import { frameFuzzTarget } from "../../packages/fabric/dist/testing/fuzz.js";
import { safetensorsFuzzTarget } from "../../packages/interop/dist/testing/fuzz.js";
import { jobDoor } from "../../packages/training/dist/testing/hostile.js";

export const root = resolve(fileURLToPath(import.meta.url), "../../..");

/** @returns {Promise<{ doors: readonly import("../../packages/std/dist/testing/hostile.js").Door[], close: () => Promise<void> }>} */
export async function openDoors() {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-fuzz-"));
  const http = await openHttpDoors(join(directory, "runs"), root);
  return {
    doors: [frameFuzzTarget, safetensorsFuzzTarget, manifestDoor, stepLogDoor, jobDoor(join(root, "configs")), ...http.doors, streamDoor],
    async close() {
      await http.close().finally(() => rmSync(directory, { recursive: true, force: true }));
    },
  };
}
