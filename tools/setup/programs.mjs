/**
 * All programs of a name on the PATH. The first may be too old, a shim without a version, or an environment that lacks something, and
 * a later program may work.
 */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/**
 * The executables of these names: all of the first name, in the order of the PATH, then all of the next. Relative and empty entries
 * of the PATH are skipped, because they depend on the directory in which a process starts.
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} names
 * @returns {string[]}
 */
export function programsByName(env, names) {
  return names.flatMap((name) => pathDirectories(env).map((directory) => join(directory, name))).filter(isExecutable);
}

/**
 * The executables of these names in the order of the PATH; of one directory, in the order of the names.
 * @param {NodeJS.ProcessEnv} env
 * @param {readonly string[]} names
 * @returns {string[]}
 */
export function programsByDirectory(env, names) {
  return pathDirectories(env)
    .flatMap((directory) => names.map((name) => join(directory, name)))
    .filter(isExecutable);
}

/** The directories that the system searches if PATH is not set. */
const usualPath = ["/usr/local/bin", "/usr/bin", "/bin"].join(delimiter);

/** @param {NodeJS.ProcessEnv} env */
function pathDirectories(env) {
  return [...new Set((env.PATH ?? usualPath).split(delimiter).filter((entry) => isAbsolute(entry)))];
}

/** A file that this user may run. @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // The file is absent, a dangling link, or not executable for this user.
    return false;
  }
}
