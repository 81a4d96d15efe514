import {
  accessSync,
  appendFileSync,
  constants,
  existsSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, basename } from "node:path";
import { isSystemError, LapidaryError, makeDirectories, type SystemError, systemError } from "@lapidary/std";

/**
 * The one place where commands write what the user named. A file or directory appears whole or not at all, and what the operating system refuses is an
 * error with the path and a remedy (`LAP_FILE_…`, exit code 2).
 *
 * Every option that names such a place says so in `tree.ts` (`access: "write"`); a test tries them all.
 */
export interface Output {
  /** What the place is to be. */
  readonly kind: "file" | "directory";
  /** Absolute. */
  readonly path: string;
  /** For the error: `the trace`. */
  readonly what: string;
}

/**
 * Refuses an output that cannot be written, before the work that makes it. A full disk shows only when it is written.
 *
 * @throws LAP_FILE_…
 */
export function checkOutput({ kind, path, what }: Output): void {
  typed({ kind, path, what }, () => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && found.isDirectory() !== (kind === "directory")) throw wrongKind({ kind, path, what });
    if (found?.isDirectory() === false) return accessSync(path, constants.W_OK);
    probe(kind === "directory" ? path : dirname(path));
  });
}

/** Writes a file, and the directories that lead to it. Devices and pipes are written to as they are. */
export function writeOutputFile(path: string, what: string, data: string | Uint8Array): void {
  checkOutput({ kind: "file", path, what });
  typed({ kind: "file", path, what }, () => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && isWrittenInPlace(path, found)) return writeFileSync(path, data);
    const made = makeDirectories(dirname(path));
    const target = found === undefined ? path : realpathSync(path);
    const temporary = join(dirname(target), `.${basename(target).slice(0, 200)}.${process.pid}.tmp`);
    try {
      writeFileSync(temporary, data, found === undefined ? {} : { mode: found.mode });
      renameSync(temporary, target);
    } catch (error) {
      rmSync(made ?? temporary, { recursive: true, force: true });
      throw error;
    }
  });
}

/** Devices, pipes, what this process has open (`/dev/stdout`), and a file in a directory that takes no other. */
function isWrittenInPlace(path: string, found: Stats): boolean {
  if (!found.isFile() || /^\/(dev|proc)\//.test(path)) return true;
  try {
    accessSync(dirname(realpathSync(path)), constants.W_OK);
    return false;
  } catch {
    return true;
  }
}

/** Writes a directory by `write`, which leaves nothing behind when it fails. */
export async function writeOutputDirectory<T>(path: string, what: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    throw isSystemError(error) ? refused({ kind: "directory", path, what }, error) : error;
  }
}

/** A file that grows while a command runs. What is not whole in it is taken back. */
export class GrowingOutput {
  #bytes = 0;

  /** The first bytes make the file. */
  constructor(
    readonly path: string,
    private readonly what: string,
    first: Uint8Array,
  ) {
    writeOutputFile(path, what, first);
    this.#bytes = first.length;
  }

  append(data: Uint8Array): void {
    typed({ kind: "file", path: this.path, what: this.what }, () => {
      try {
        appendFileSync(this.path, data);
        this.#bytes += data.length;
      } catch (error) {
        if (existsSync(this.path)) truncateSync(this.path, this.#bytes);
        throw error;
      }
    });
  }
}

function typed<T>(output: Output, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw isSystemError(error) ? refused(output, error) : error;
  }
}

function refused({ path, what }: Output, error: SystemError): LapidaryError {
  // Of a copy, what cannot be read is not what the user named.
  const isSource = error.dest !== undefined && error.path !== undefined && ["ENOENT", "EACCES", "EIO"].includes(error.code);
  return systemError(error, { doing: `write ${what}`, place: isSource ? error.path : path });
}

function wrongKind({ kind, path, what }: Output): LapidaryError {
  return new LapidaryError({
    code: kind === "file" ? "LAP_FILE_IS_DIRECTORY" : "LAP_FILE_NOT_DIRECTORY",
    message: `cannot write ${what}: ${kind === "file" ? "a directory" : "a file"} is in its place`,
    place: path,
    remedy: kind === "file" ? "name a file" : "name a directory, or move the file away",
  });
}

/** Makes a file in a directory that may have to be made, and takes all of it back: what the system says of it counts, and no guess by permissions. */
function probe(directory: string): void {
  const made = makeDirectories(directory);
  const file = join(directory, `.lapidary-probe.${process.pid}.tmp`);
  try {
    writeFileSync(file, "");
  } finally {
    rmSync(made ?? file, { recursive: true, force: true });
  }
}
