/**
 * Directories of one user: the state directory and the cache. All code that creates such a directory uses this file, so that the umask of
 * a shell never opens it to other users.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";

/** The names that Lapidary writes into a state directory. Any other name means that the directory also has another purpose. */
const homeEntries =
  /^(cache|checkpoints|logs|plans|redis|runs|workers|setup-cache|epoch|port|(serve-)?token|setup\.lock|(workers|coordinator|identity)\.json|coordinator\.pid)(\.\d+)?(\.tmp)?$/;
const homeName = ".lapidary";

/** Whether Lapidary writes this name into a state directory. @param {string} name */
export const isHomeEntry = (name) => homeEntries.test(name);

/** @typedef {import("./private-directory.mjs").PrivateDirectory} PrivateDirectory */

/**
 * Makes a directory that only its owner can enter, and closes an existing directory. A directory with other contents, such as `/tmp` or the
 * home directory of the user, is not changed and is reported as open.
 *
 * @param {string} path
 * @param {{ isOurs?: (name: string) => boolean, forbidden?: number, uid?: number | undefined }} [options]
 *   `isOurs`: whether an entry was written by Lapidary; `forbidden`: the bits of the mode that must be off
 * @returns {PrivateDirectory}
 */
export function makePrivate(path, { isOurs = isHomeEntry, forbidden = 0o077, uid = process.getuid?.() } = {}) {
  const isNew = mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined;
  const before = statSync(path);
  const mode = before.mode & 0o7777;
  if (uid !== undefined && before.uid !== uid) return { state: "foreign", mode, owner: before.uid };
  const entries = isNew ? [] : readdirSync(path);
  // A user with an open handle to a directory below would keep access, so those directories are closed too.
  for (const name of entries.filter(isOurs)) closeOwn(join(path, name), forbidden, uid);
  if ((mode & forbidden) === 0) return { state: "private", mode, owner: before.uid };
  if (isShared(path, mode) || !(basename(path) === homeName || entries.every(isOurs))) return { state: "open", mode, owner: before.uid };
  close(path, mode & ~forbidden);
  const closed = (statSync(path).mode & forbidden) === 0;
  return { state: closed ? "closed" : "unclosable", mode, owner: before.uid };
}

/** Closes a directory below, if it is a directory of this user. @param {string} path @param {number} forbidden @param {number | undefined} uid */
function closeOwn(path, forbidden, uid) {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() && (found.mode & forbidden) !== 0 && (uid === undefined || found.uid === uid))
    close(path, found.mode & 0o7777 & ~forbidden);
}

/** @param {string} path @param {number} mode */
function close(path, mode) {
  try {
    chmodSync(path, mode);
  } catch (error) {
    if (!keepsNoModes.includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? "")) throw error;
  }
}

/** Error codes of chmod on file systems without permissions. */
const keepsNoModes = ["EPERM", "EACCES", "EROFS", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"];

/** A directory for temporary files of all users, or the user's own home: never closed, even if it is empty. @param {string} path @param {number} mode */
function isShared(path, mode) {
  const sticky = 0o1000;
  return (mode & sticky) !== 0 || realpathSync(path) === userHome();
}

function userHome() {
  try {
    return resolve(homedir());
  } catch {
    // A user without an entry in the list of users.
    return undefined;
  }
}
