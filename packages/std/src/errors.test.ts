import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { errorAreas, errorCodes, isErrorCode, warningCodes } from "./error-codes.js";
import type { ErrorEntry } from "./error-codes/entry.js";
import { errorFromJSON, LapidaryError } from "./errors.js";
import { systemError } from "./system-error.js";

const overWire = (error: LapidaryError): LapidaryError => errorFromJSON(JSON.parse(JSON.stringify(error)));
const diskFull = Object.assign(new Error("full"), { code: "ENOSPC", errno: -28, syscall: "write", path: "/a" });

describe("an error with a code", () => {
  it("an error takes its exit code, remedy and recovery policy from the registry", () => {
    const lost = new LapidaryError({ code: "LAP_FABRIC_LOST", message: "m" });
    deepStrictEqual(
      [lost.exit, lost.remedy, lost.isRecoverable, lost.isSecondary],
      [1, "read the log of the peer process to see why it ended", true, true],
    );
    const taken = new LapidaryError({ code: "LAP_JOB_NAME_TAKEN", message: "m", remedy: "r" });
    deepStrictEqual([taken.exit, taken.remedy, taken.isRecoverable, taken.isSecondary], [2, "r", false, false]);
  });

  it("an error keeps code, place, remedy and exit code across JSON", () => {
    for (const error of [
      new LapidaryError({ code: "LAP_SLICE_TOO_LARGE", message: "m", location: "p", remedy: "r" }),
      new LapidaryError({ code: "LAP_INTERNAL", message: "m", during: "job" }),
      systemError(diskFull, { during: "request" }),
    ])
      deepStrictEqual(overWire(error).toJSON(), error.toJSON());
  });

  it("an error that ended a job exits with 100, and one that ended a request with 1", () => {
    deepStrictEqual(
      [systemError(diskFull).exit, systemError(diskFull, { during: "job" }).exit, systemError(diskFull, { during: "request" }).exit],
      [2, 100, 1],
    );
  });

  it("an error with another message keeps its context and its cause", () => {
    const error = systemError(diskFull, { during: "job" });
    const changed = error.with({ location: "p", remedy: "r" });
    deepStrictEqual(changed.toJSON(), { ...error.toJSON(), place: "p", remedy: "r" });
    strictEqual(changed.cause, error);
    strictEqual(error.with({ cause: 7 }).cause, 7);
  });
});

describe("an error of another process", () => {
  it("an unknown code is kept, is not recoverable and exits with 1", () => {
    const error = errorFromJSON({ code: "NEWER_WORKER_LOST", message: "m", place: "p", remedy: "r", exit: 2 });
    deepStrictEqual(error.toJSON(), { code: "NEWER_WORKER_LOST", message: "m", place: "p", remedy: "r", exit: 1 });
    deepStrictEqual([error.isRecoverable, error.isSecondary], [false, false]);
    deepStrictEqual(["toString", "__proto__", ""].filter(isErrorCode), []);
  });

  it("the registry determines the exit code, not the sender", () => {
    for (const exit of [0, 4, "2", undefined])
      strictEqual(errorFromJSON({ code: "LAP_JOB_UNKNOWN", message: "m", remedy: "r", exit }).exit, 102);
  });

  it("a value that is not an error becomes an error with its text", () => {
    for (const json of [undefined, null, 7, "text", [], {}, { code: "LAP_INTERNAL" }, { code: 1, message: "m", remedy: "r" }]) {
      const error = errorFromJSON(json);
      deepStrictEqual([error.code, error.exit, error.isRecoverable], ["LAP_ERROR_UNREADABLE", 1, false]);
      ok(error.message.includes(JSON.stringify(json) ?? "undefined"), error.message);
    }
    strictEqual(errorFromJSON({ code: "LAP_INTERNAL", message: "m", remedy: "r", place: 7 }).code, "LAP_ERROR_UNREADABLE");
  });
});

describe("the registry of errors", () => {
  const entries: readonly (readonly [string, ErrorEntry])[] = Object.entries(errorCodes);

  it("each code is in one area, and is an error or a warning, not both", () => {
    const counted = Object.values(errorAreas).reduce((sum, area) => sum + Object.keys(area).length, 0);
    strictEqual(counted, entries.length);
    deepStrictEqual(Object.keys(warningCodes).filter(isErrorCode), []);
  });

  it("the registry explains each code in one sentence, and no code has the exit code of success", () => {
    for (const [code, { summary, exit }] of entries) {
      match(summary, /^[^.]+(\.\w[^.]*)*\.$/, code);
      ok(exit > 0, code);
    }
  });

  it("the run recovers from every secondary error", () => {
    for (const [code, { recoverable, secondary }] of entries) ok(secondary !== true || recoverable, code);
  });

  it("a run recovers from failures of workers and channels, malformed messages and injected failures", () => {
    const recovered = entries.flatMap(([code, { recoverable }]) => (recoverable ? [code] : []));
    const mistakes = ["LAP_WORKER_VALUE_TYPE", "LAP_WORKER_OPCODES", "LAP_WORKER_TFJS", "LAP_FABRIC_PATH", "LAP_WORKER_GROUP_CLOSED"];
    deepStrictEqual(
      recovered.toSorted(),
      entries
        .flatMap(([code]) => (/^LAP_(FAILPOINT$|PROTOCOL_MALFORMED$|FABRIC_|WORKER_)/.test(code) && !mistakes.includes(code) ? [code] : []))
        .toSorted(),
    );
  });
});
