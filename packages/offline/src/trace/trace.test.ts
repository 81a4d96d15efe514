import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@lapidary/std/testing";
import { isRun, predictedTrace, recordedTrace } from "./trace.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));

describe("traces", () => {
  const home = temporaryDirectory();
  const directories = (): { root: string; cwd: string; home: string } => ({ root, cwd: root, home: home() });

  it("a word names a run if a run has this name, or if no job file has it", () => {
    mkdirSync(join(home(), "runs/nano16"), { recursive: true });
    deepStrictEqual(
      ["nano16", "micro", "unknown", "job.yaml", "package.json"].map((word) => isRun(directories(), word)),
      [true, false, true, false, false],
    );
  });

  it("the predicted trace of a job has events and reports the warnings of the job", async () => {
    const codes: string[] = [];
    const { traceEvents } = await predictedTrace(
      directories(),
      "e2e/cases/common/tiny.yaml",
      { overrides: [], chip: undefined, program: undefined },
      ({ code }) => codes.push(code),
    );
    ok(traceEvents.length > 0);
    ok(codes.every((code) => code.startsWith("LAP_")));
  });

  it("a run without recorded steps is an error that reports whether the run has ended", () => {
    const run = join(home(), "runs/fresh");
    mkdirSync(run, { recursive: true });
    throws(() => recordedTrace({ home: home(), root }, "fresh"), { code: "LAP_TRACE_NO_STEPS", remedy: /^wait until/ });
    writeFileSync(join(run, "summary.json"), '{"finished_at": 1}');
    throws(() => recordedTrace({ home: home(), root }, "fresh"), { code: "LAP_TRACE_NO_STEPS", remedy: /ended before its first step/ });
    throws(() => recordedTrace({ home: home(), root }, "frehs"), { code: "LAP_CHECKPOINT_NOT_FOUND", remedy: 'did you mean "fresh"?' });
  });
});
