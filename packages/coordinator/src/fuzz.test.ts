import { strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { parseManifest, printManifest } from "@lapidary/checkpoint";
import { manifest, manifestFuzzTarget, openHttpFuzzTargets, stepLogFuzzTarget, streamFuzzTarget } from "./testing/fuzz.js";

/** Seen from packages/coordinator/dist. */
const root = resolve(fileURLToPath(import.meta.url), "../../../..");

describe("hostile bytes", () => {
  it("a reader accepts the manifest that was written, and rejects any other", async () => {
    const text = printManifest(manifest);
    strictEqual(printManifest(parseManifest(text, "here")), text);
    await fc.assert(manifestFuzzTarget.property, { numRuns: 400 });
  });

  it("a reader returns the correct lines of a step log, and throws nothing", () => fc.assert(stepLogFuzzTarget.property, { numRuns: 200 }));

  it("a client returns the events and frames of a run, or an error, and no more than it received", () =>
    fc.assert(streamFuzzTarget.property, { numRuns: 300 }));

  it("requests, bodies and live connections get an error with a code, not an internal error, and the server continues", async () => {
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
