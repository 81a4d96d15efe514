import { deepStrictEqual } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { isRecoverable } from "./recovery-errors.js";

describe("recovery", () => {
  const error = (code: "LAP_WORKER_START" | "LAP_WORKER_OPCODES" | "LAP_WORKER_FAILED", cause?: unknown): LapidaryError =>
    new LapidaryError({ code, message: "m", cause });

  it("a run repeats the work after a recoverable error, unless the cause of the error is deterministic", () => {
    deepStrictEqual(
      [
        error("LAP_WORKER_START"),
        error("LAP_WORKER_START", new Error("spawn EAGAIN")),
        error("LAP_WORKER_START", error("LAP_WORKER_FAILED")),
        error("LAP_WORKER_START", error("LAP_WORKER_OPCODES")),
        error("LAP_WORKER_OPCODES"),
        new Error("a bug"),
      ].map(isRecoverable),
      [true, true, true, false, false, false],
    );
  });
});
