import { ok, strictEqual, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { readLedger } from "../ledger/ledger.js";
import { type Manifest, parseManifest, printManifest } from "./manifest.js";

const manifest: Manifest = {
  format: "lapidary-checkpoint/1",
  run: "r",
  step: 12,
  epoch: 3,
  time: 1,
  mesh: "data=2",
  zero: 3,
  workers: 2,
  program: "p",
  ledger: "0".repeat(32),
  files: { "model.safetensors": { bytes: 4, sha256: "a".repeat(64), parts: [{ name: "w", bytes: 4, crc32: "00000000" }] } },
};
const text = printManifest(manifest);

describe("hostile bytes in files that are read back", () => {
  it("a manifest is what was written or is refused: any text, any change of any character", () => {
    strictEqual(printManifest(parseManifest(text, "here")), text);
    const refused = (hostile: string): void => {
      if (hostile === text) return;
      throws(
        () => parseManifest(hostile, "here"),
        (error) => error instanceof LapidaryError && error.code === "LAP_CHECKPOINT_DAMAGED",
      );
    };
    fc.assert(fc.property(fc.string({ maxLength: 400, unit: "binary" }), refused), { numRuns: 200 });
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (json) => refused(json)),
      { numRuns: 100 },
    );
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 8, unit: "binary" }), fc.nat(20), (at, inserted, removed) =>
        refused(text.slice(0, at) + inserted + text.slice(at + removed)),
      ),
      { numRuns: 400 },
    );
  });

  it("a ledger of any text is read as far as its lines are right, and nothing is thrown", () => {
    const read = (hostile: string): number => readLedger({ readText: () => hostile }, "/run").commits.length;
    fc.assert(
      fc.property(fc.string({ maxLength: 500, unit: "binary" }), (hostile) => {
        strictEqual(read(hostile), 0);
      }),
      { numRuns: 200 },
    );
    fc.assert(
      fc.property(fc.array(fc.json({ maxDepth: 4 }), { maxLength: 10 }), (lines) => {
        ok(read(`${lines.join("\n")}\n`) === 0);
      }),
      { numRuns: 100 },
    );
  });
});
