import { strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { parseManifest, printManifest } from "@lapidary/checkpoint";
import { manifest, manifestFuzzTarget, openHttpFuzzTargets, stepLogFuzzTarget, streamFuzzTarget } from "./testing/fuzz.js";

/** From packages/coordinator/dist. */
const root = resolve(fileURLToPath(import.meta.url), "../../../..");

describe("hostile bytes", () => {
  it("in a manifest: it is what was written, or is refused", async () => {
    const text = printManifest(manifest);
    strictEqual(printManifest(parseManifest(text, "here")), text);
    await fc.assert(manifestFuzzTarget.property, { numRuns: 400 });
  });

  it("in a step log: it is read as far as its lines are right, and nothing is thrown", () =>
    fc.assert(stepLogFuzzTarget.property, { numRuns: 200 }));

  it("in what a client reads of a run: events and frames, or an error, and no more than came", () =>
    fc.assert(streamFuzzTarget.property, { numRuns: 300 }));

  it("in requests, bodies and live connections: an error with a code, not an internal error, and the server continues", async () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-hostile-"));
    try {
      const { targets, close } = await openHttpFuzzTargets(join(directory, "runs"), root);
      for (const { property } of targets) await fc.assert(property, { numRuns: 300 });
      await close();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
