import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir, constants } from "node:os";
import { join } from "node:path";
import { isSystemError, LapidaryError, makeDirectories, systemError, typedSystemError } from "./index.js";

const thrownBy = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

describe("directories", () => {
  it("makeDirectories creates missing parents, and throws if the system allows no new directory", () => {
    const top = mkdtempSync(join(tmpdir(), "lapidary-make-"));
    try {
      strictEqual(makeDirectories(join(top, "a/b/c")), join(top, "a"));
      strictEqual(makeDirectories(join(top, "a/b/c")), undefined);
      writeFileSync(join(top, "file"), "");
      for (const path of ["file", "file/x", "file/x/y"]) ok(isSystemError(thrownBy(() => makeDirectories(join(top, path)))), path);
      ok(isSystemError(thrownBy(() => makeDirectories(join(top, "new", "x".repeat(300))))));
      ok(!existsSync(join(top, "new")));
      // mkdir of Node with `recursive` never returns here.
      if (existsSync("/proc/self")) ok(isSystemError(thrownBy(() => makeDirectories("/proc/nowhere/logs"))));
    } finally {
      rmSync(top, { recursive: true });
    }
  });
});

describe("errors of the operating system", () => {
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-system-error-"));
    writeFileSync(join(directory, "file"), "");
    symlinkSync("loop", join(directory, "loop"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const refused: readonly (readonly [string, string, (at: (name: string) => string) => unknown])[] = [
    ["a missing file", "LAP_FILE_MISSING", (at) => readFileSync(at("none"))],
    ["a file in the path", "LAP_FILE_NOT_DIRECTORY", (at) => writeFileSync(at("file/x"), "")],
    ["a file instead of a directory", "LAP_FILE_EXISTS", (at) => mkdirSync(at("file"), { recursive: true })],
    ["a directory instead of a file", "LAP_FILE_IS_DIRECTORY", (at) => writeFileSync(at("."), "")],
    ["a name that is too long", "LAP_FILE_NAME", (at) => writeFileSync(at("x".repeat(300)), "")],
    ["a cycle of links", "LAP_FILE_LOOP", (at) => writeFileSync(at("loop"), "")],
    ["a NUL in the path", "LAP_FILE_NAME", (at) => writeFileSync(at("a\0b"), "")],
    ["a full disk", "LAP_FILE_NO_SPACE", () => writeFileSync("/dev/full", "x")],
  ];
  for (const [title, code, run] of refused)
    it(`the error names ${title}, the location and a remedy`, () => {
      const error = thrownBy(() => run((name) => join(directory, name)));
      ok(isSystemError(error), String(error));
      const typed = systemError(error, { doing: "write the page" });
      deepStrictEqual([typed.code, typed.exit, typed.cause], [code, 2, error]);
      match(typed.message, /^cannot write the page: /);
      ok(typed.remedy !== "");
    });

  it("every error name of the system has a code, a place and a remedy", () => {
    for (const [name, errno] of Object.entries(constants.errno)) {
      const error = Object.assign(new Error(`${name}: odd`), { code: name, errno: -errno, syscall: "write", path: "/a" });
      ok(isSystemError(error), name);
      const typed = systemError(error);
      match(typed.code, /^LAP_(FILE|NETWORK|SYSTEM)_[A-Z_]+$/);
      deepStrictEqual([typed.location, typed.exit], ["/a", 2]);
      ok(!typed.remedy.includes("bug"), typed.remedy);
    }
  });

  it("other errors are returned unchanged", () => {
    for (const error of [
      new Error("a bug"),
      new TypeError("x is undefined"),
      Object.assign(new Error("odd"), { code: "ERR_ASSERTION" }),
      "text",
    ]) {
      ok(!isSystemError(error));
      strictEqual(typedSystemError(error), error);
    }
    const own = new LapidaryError({ code: "LAP_JOB_FAILED", message: "a", remedy: "b" });
    strictEqual(typedSystemError(own), own);
  });
});
