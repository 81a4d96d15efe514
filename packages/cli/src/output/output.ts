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
 * Writes the files and directories that the user named. A file or directory is written completely or not at all. An error of the operating system becomes an
 * error with the path and a remedy (`LAP_FILE_…`, exit code 2).
 *
 * Every option that names an output declares `access: "write"` in `tree.ts`. A test tries all of them.
 */
export interface Output {
  /** What the command writes. */
  readonly kind: "file" | "directory";
  /** Absolute. */
  readonly path: string;
  /** For the error: `the trace`. */
  readonly what: string;
}

/**
 * Refuses an output that cannot be written, before the computation. A full disk is found only during the write.
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

/** Writes a file, and creates its parent directories. Devices and pipes are written in place. */
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

/** Devices, pipes, open files of this process (`/dev/stdout`), and a file in a directory without write permission. */
function isWrittenInPlace(path: string, found: Stats): boolean {
  if (!found.isFile() || /^\/(dev|proc)\//.test(path)) return true;
  try {
    accessSync(dirname(realpathSync(path)), constants.W_OK);
    return false;
  } catch {
    return true;
  }
}

/** Writes a directory with `write`, which removes its files if it fails. */
export async function writeOutputDirectory<T>(path: string, what: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    throw isSystemError(error) ? refused({ kind: "directory", path, what }, error) : error;
  }
}

/** A file that grows while a command runs. An incomplete write is removed. */
export class GrowingOutput {
  #bytes = 0;

  /** @param first the bytes with which the file is created */
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
  // If a copy fails because its source is unreadable, the error names the source.
  const isSource = error.dest !== undefined && error.path !== undefined && ["ENOENT", "EACCES", "EIO"].includes(error.code);
  return systemError(error, { doing: `write ${what}`, place: isSource ? error.path : path });
}

function wrongKind({ kind, path, what }: Output): LapidaryError {
  return new LapidaryError({
    code: kind === "file" ? "LAP_FILE_IS_DIRECTORY" : "LAP_FILE_NOT_DIRECTORY",
    message: `cannot write ${what}: ${kind === "file" ? "a directory" : "a file"} is in its place`,
    location: path,
    remedy: kind === "file" ? "name a file" : "name a directory, or move the file away",
  });
}

/** Creates a file in the directory, and removes it. The result of the system call counts, because permissions alone do not decide. */
function probe(directory: string): void {
  const made = makeDirectories(directory);
  const file = join(directory, `.lapidary-probe.${process.pid}.tmp`);
  try {
    writeFileSync(file, "");
  } finally {
    rmSync(made ?? file, { recursive: true, force: true });
  }
}
