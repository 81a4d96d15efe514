/** Turns refusals of a disk or its permissions into errors with place and remedy, from the set-up itself or from one of its tools. */
import { fullDisk, reportsFullDisk } from "./disk-space.mjs";
import { SetupError } from "./session.mjs";

const reasons = /** @type {Readonly<Record<string, string>>} */ ({
  EACCES: "this user may not write it",
  EPERM: "this user may not change it",
  EROFS: "it is on a file system that is mounted read-only",
  ENOTDIR: "a part of the path is a file",
  EEXIST: "another file is in its place",
  EISDIR: "a directory is in its place",
  ELOOP: "its symbolic links form a loop",
  ENAMETOOLONG: "the path is too long",
  EMFILE: "this process may not open more files",
  ENFILE: "the system cannot open more files",
  EIO: "the disk reports an error",
});

/**
 * An error of the system as a `SetupError`; any other error as it is.
 * @param {import("./session.mjs").Session} session
 * @param {unknown} error
 * @returns {unknown}
 */
export function explainFileError(session, error) {
  if (error instanceof SetupError || !(error instanceof Error)) return error;
  const { code = "", path, syscall } = /** @type {NodeJS.ErrnoException} */ (error);
  if (reportsFullDisk(code)) return fullDisk({ path: path ?? session.cache });
  const reason = reasons[code];
  if (reason === undefined || (syscall === undefined && path === undefined)) return error;
  return refused(session, code, path ?? session.cache, reason);
}

/**
 * The problem of the disk that the output of a tool reports; undefined if it reports none.
 * @param {import("./session.mjs").Session} session
 * @param {string} place where the tool writes
 * @param {string} output
 * @returns {SetupError | undefined}
 */
export function fileProblemIn(session, place, output) {
  if (reportsFullDisk(output)) return fullDisk({ path: place, output });
  const code = /\b(EACCES|EPERM|EROFS|EMFILE|ENFILE)\b/.exec(output)?.[1];
  const path = /(?:path|open|mkdir|unlink|rename|symlink)\s+'?(\/[^'\n]*)/.exec(output)?.[1]?.trim();
  return code === undefined ? undefined : refused(session, code, path ?? place, reasons[code] ?? "", output);
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} code
 * @param {string} path
 * @param {string} reason
 * @param {string} [output]
 */
function refused({ root, cache }, code, path, reason, output = "") {
  return new SetupError({
    code: "LAP_SETUP_FILES",
    message: `${code} at ${path}: ${reason}`,
    output,
    remedy: remedyFor(code, path, root, cache),
  });
}

/** @param {string} code @param {string} path @param {string} root @param {string} cache */
function remedyFor(code, path, root, cache) {
  if (code === "EMFILE" || code === "ENFILE") return "allow more open files (`ulimit -n 4096`), then run the command again";
  // The cache, or a directory above it that refused to make it.
  if (`${path}/`.startsWith(`${cache}/`) || cache.startsWith(`${path}/`) || path.startsWith(`${cache}.`))
    return `point LAPIDARY_CACHE to a directory of yours with 2 GB free; now it is ${cache}`;
  if (!`${path}/`.startsWith(`${root}/`))
    return `correct the owner or the permissions of ${path} (\`ls -ld\` shows them), then run the command again`;
  return `the set-up writes node_modules, dist and .lapidary in the checkout: correct the owner of ${root} (\`ls -ld\` shows it), or clone the project to a directory that you may write`;
}
