import { deepEqual, equal, match, ok } from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandWords } from "./compiler.mjs";
import { reportsFullDisk } from "./disk-space.mjs";
import { explainFileError, fileProblemIn } from "./file-errors.mjs";
import { Report } from "./report.mjs";
import { cacheDirectory, projectRoot, Session, SetupError } from "./session.mjs";

const root = join(tmpdir(), "project");
const cache = join(tmpdir(), "cache");
const session = new Session({ root, env: { LAPIDARY_CACHE: cache }, report: new Report({ quiet: true }) });
/** @param {string} code @param {string} [path] */
const systemError = (code, path) => Object.assign(new Error(`${code}: something`), { code, syscall: "open", ...(path && { path }) });
/** @param {string} code @param {string} [path] */
const explained = (code, path) => {
  const error = explainFileError(session, systemError(code, path));
  ok(error instanceof SetupError);
  return error;
};

describe("errors of files in the set-up", () => {
  it("a full disk is recognized by its code or the output of a tool, and its error has free and needed bytes, also without a path", () => {
    for (const error of [explained("ENOSPC", join(cache, "x")), explained("EDQUOT")]) {
      equal(error.code, "LAP_SETUP_DISK");
      match(error.message, /no space is left at .*cache.*: .* MB are free, about 2000 MB are needed/);
    }
    for (const output of ["cc1plus: No space left on device", "npm error code ENOSPC", "OSError: [Errno 28] x", "Disk quota exceeded"])
      equal(reportsFullDisk(output), true, output);
    equal(reportsFullDisk("ERROR: [Errno 2] No such file"), false);
  });

  it("the remedy names the directory that rejected the write: the cache, or the checkout", () => {
    match(explained("EACCES", join(cache, "x")).remedy, /point LAPIDARY_CACHE/);
    for (const code of ["EACCES", "EROFS"]) {
      const { message, remedy } = explained(code, join(root, ".lapidary/setup.lock"));
      match(message, new RegExp(`${code} at .*setup\\.lock`));
      match(remedy, /checkout/);
    }
    match(explained("EACCES", tmpdir()).remedy, /point LAPIDARY_CACHE/);
    match(explained("EACCES", "/elsewhere/.npm/_cacache").remedy, /correct the owner or the permissions of \/elsewhere/);
    match(explained("EMFILE", join(root, "x")).remedy, /ulimit -n/);
  });

  it("a permission error in the output of npm is such an error too, and a network error is not", () => {
    const output = "npm error code EACCES\nnpm error syscall mkdir\nnpm error path /project/node_modules/x";
    match(String(fileProblemIn(session, root, output)?.message), /EACCES at \/project\/node_modules\/x/);
    equal(fileProblemIn(session, root, "npm error code ENOTFOUND"), undefined);
  });

  it("another error does not change", () => {
    const bug = new TypeError("x is not a function");
    equal(explainFileError(session, bug), bug);
  });
});

describe("the cache directory", () => {
  it("the cache is in LAPIDARY_CACHE, in XDG_CACHE_HOME if absolute, or in the home directory; without one it is in the project", () => {
    equal(cacheDirectory({ LAPIDARY_CACHE: "/a", HOME: "/home/me" }), "/a");
    equal(cacheDirectory({ XDG_CACHE_HOME: "/x", HOME: "/home/me" }), "/x/lapidary");
    match(cacheDirectory({ XDG_CACHE_HOME: "relative", HOME: "/home/me" }), /^\/home\/me\/.*lapidary$/);
    for (const env of [{}, { HOME: "" }, { HOME: "relative" }]) ok(cacheDirectory(env).startsWith("/"), cacheDirectory(env));
    ok(projectRoot.startsWith("/"));
  });
});

describe("CXX", () => {
  it("CXX is a path, which may contain blanks, or a program with arguments", () => {
    deepEqual(commandWords("ccache g++ -m64"), ["ccache", "g++", "-m64"]);
    deepEqual(commandWords(process.execPath), [process.execPath]);
    deepEqual(commandWords(`"/opt/my tools/g++" '-DX=a b'`), ["/opt/my tools/g++", "-DX=a b"]);
  });
});
