import { isAbsolute } from "node:path";
import { type ErrorContext, LapidaryError } from "./errors.js";
import type { systemErrors } from "./error-codes/system.js";
import { nearestPath } from "./nearest-path.js";

/** An error of the operating system, as Node throws it. */
export interface SystemError extends Error {
  /** `ENOSPC` */
  readonly code: string;
  readonly path?: string;
  /** The second path, of calls such as rename. */
  readonly dest?: string;
  readonly address?: string;
  readonly port?: number;
  readonly syscall?: string;
}

/** Whether an error is one of the operating system. Such an error is never a bug of Lapidary. */
export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== "string") return false;
  // Other arguments that Node rejects are bugs of Lapidary.
  if (code === "ERR_INVALID_ARG_VALUE") return error.message.includes("null bytes");
  return Object.hasOwn(refusals, code) || (/^E[A-Z0-9]+$/.test(code) && (errno !== undefined || syscall !== undefined));
}

/** The work during which the error occurred. */
export interface Attempt {
  /** The end of the sentence "cannot …", such as `write the checkpoint`. */
  readonly doing?: string;
  /** The path or address that the user knows. By default the path of the error. */
  readonly place?: string;
  /** The job or request that the error ended, if not a command. */
  readonly during?: ErrorContext;
}

interface Refusal {
  readonly code: keyof typeof systemErrors;
  readonly message: string;
  readonly remedy: string;
}

/** The meaning of errors of files and sockets, by POSIX name. */
const refusals: Readonly<Record<string, Refusal>> = {
  ENOENT: {
    code: "LAP_FILE_MISSING",
    message: "there is no such file or directory",
    remedy: "check the path; create the directory if it is missing",
  },
  EEXIST: {
    code: "LAP_FILE_EXISTS",
    message: "something is in its place already",
    remedy: "choose another place, or move away what is there",
  },
  ENOTDIR: {
    code: "LAP_FILE_NOT_DIRECTORY",
    message: "a part of the path is a file and not a directory",
    remedy: "choose another place, or move the file away",
  },
  EISDIR: { code: "LAP_FILE_IS_DIRECTORY", message: "it is a directory and not a file", remedy: "name a file" },
  ENOTEMPTY: { code: "LAP_FILE_NOT_EMPTY", message: "the directory is not empty", remedy: "choose another directory, or empty this one" },
  EACCES: {
    code: "LAP_FILE_PERMISSION",
    message: "permission is denied",
    remedy: "check the permissions and the owner, or choose another place",
  },
  EPERM: {
    code: "LAP_FILE_PERMISSION",
    message: "the operation is not permitted",
    remedy: "check the permissions and the owner, or choose another place",
  },
  EROFS: { code: "LAP_FILE_READ_ONLY", message: "the file system is read-only", remedy: "choose a place on another file system" },
  ENOSPC: {
    code: "LAP_FILE_NO_SPACE",
    message: "no space is left on the device",
    remedy: "free space there, or choose a place on another disk",
  },
  EDQUOT: {
    code: "LAP_FILE_NO_SPACE",
    message: "the disk quota is used up",
    remedy: "free space there, or choose a place on another disk",
  },
  EFBIG: {
    code: "LAP_FILE_TOO_LARGE",
    message: "the file grows larger than the system allows",
    remedy: "choose another file system, or raise `ulimit -f`",
  },
  ENAMETOOLONG: { code: "LAP_FILE_NAME", message: "the name is too long", remedy: "choose a shorter name" },
  EILSEQ: {
    code: "LAP_FILE_NAME",
    message: "the file system does not take such a name",
    remedy: "choose a name of letters, digits, `.`, `_` and `-`",
  },
  EINVAL: { code: "LAP_FILE_NAME", message: "the system does not take such a path or request", remedy: "choose another place" },
  ERR_INVALID_ARG_VALUE: {
    code: "LAP_FILE_NAME",
    message: "the path has a character that no path can have",
    remedy: "remove the character",
  },
  ERR_FS_FILE_TOO_LARGE: {
    code: "LAP_FILE_TOO_LARGE",
    message: "the file is larger than Node can read in one call",
    remedy: "name a smaller file",
  },
  ERR_FS_EISDIR: { code: "LAP_FILE_IS_DIRECTORY", message: "it is a directory and not a file", remedy: "name a file" },
  ERR_WORKER_OUT_OF_MEMORY: {
    code: "LAP_SYSTEM_NO_MEMORY",
    message: "a thread ran out of memory",
    remedy: "give Node more, as in NODE_OPTIONS=--max-old-space-size=8192, or take a smaller job",
  },
  ELOOP: { code: "LAP_FILE_LOOP", message: "its symbolic links go in a circle", remedy: "choose another place, or repair the links" },
  EMFILE: {
    code: "LAP_SYSTEM_TOO_MANY_OPEN",
    message: "this process has too many files open",
    remedy: "raise the limit with `ulimit -n`, then run it again",
  },
  ENFILE: {
    code: "LAP_SYSTEM_TOO_MANY_OPEN",
    message: "the system has too many files open",
    remedy: "close other programs, or raise the limit of the system, then run it again",
  },
  ENOMEM: { code: "LAP_SYSTEM_NO_MEMORY", message: "no memory is left", remedy: "free memory, or run on a larger machine" },
  EAGAIN: {
    code: "LAP_SYSTEM_BUSY",
    message: "the system has no resources for it now",
    remedy: "try again later; `ulimit -u` shows how many processes you may have",
  },
  EBUSY: { code: "LAP_FILE_BUSY", message: "it is in use", remedy: "choose another place, or end what uses it" },
  ETXTBSY: { code: "LAP_FILE_BUSY", message: "it is a program that runs", remedy: "choose another place, or end that program" },
  EIO: { code: "LAP_FILE_IO", message: "the device failed to read or write", remedy: "check the disk, or choose a place on another one" },
  ENODEV: { code: "LAP_FILE_IO", message: "there is no such device", remedy: "choose another place" },
  ENXIO: { code: "LAP_FILE_IO", message: "there is no such device, or no process reads it", remedy: "choose another place" },
  ESTALE: {
    code: "LAP_FILE_IO",
    message: "the network file system lost it",
    remedy: "mount the file system again, or choose another place",
  },
  EXDEV: { code: "LAP_FILE_OTHER_DEVICE", message: "it is on another file system", remedy: "choose a place on the same file system" },
  EPIPE: {
    code: "LAP_NETWORK_CLOSED",
    message: "the reader closed the connection",
    remedy: "start the reader again, then run it again",
  },
  EADDRINUSE: {
    code: "LAP_NETWORK_PORT_TAKEN",
    message: "another process listens at this address",
    remedy: "stop that process, or choose another port",
  },
  EADDRNOTAVAIL: { code: "LAP_NETWORK_ADDRESS", message: "this machine does not have the address", remedy: "choose another address" },
  ECONNREFUSED: { code: "LAP_NETWORK_REFUSED", message: "nothing listens at the address", remedy: "start what should listen there" },
  ECONNRESET: { code: "LAP_NETWORK_CLOSED", message: "the other side closed the connection", remedy: "try again" },
  ETIMEDOUT: {
    code: "LAP_NETWORK_TIMEOUT",
    message: "the other side did not answer in time",
    remedy: "check the network, and try again",
  },
  EHOSTUNREACH: {
    code: "LAP_NETWORK_UNREACHABLE",
    message: "there is no way to the host",
    remedy: "check the network and the address",
  },
  ENETUNREACH: {
    code: "LAP_NETWORK_UNREACHABLE",
    message: "there is no way to the network",
    remedy: "check the network and the address",
  },
  ENOTFOUND: { code: "LAP_NETWORK_NO_HOST", message: "no host has this name", remedy: "check the name and the network" },
  EAI_AGAIN: { code: "LAP_NETWORK_NO_HOST", message: "the name server does not answer", remedy: "check the network, and try again" },
};

/**
 * The error of the operating system for a user: the failed work, its location and a remedy.
 *
 * Codes: `LAP_FILE_…`, `LAP_NETWORK_…` and `LAP_SYSTEM_…`. The same POSIX name always has the same code.
 */
export function systemError(error: SystemError, { doing, place, during }: Attempt = {}): LapidaryError {
  const { code, message, remedy } = refusals[error.code] ?? {
    code: "LAP_SYSTEM_REFUSED",
    message: `the operating system refused: ${error.message}`,
    remedy: "check the path and the machine, or choose another place",
  };
  const where = place ?? placeOf(error);
  const near = error.code === "ENOENT" && where !== undefined && isAbsolute(where) ? nearestPath(where, "/") : undefined;
  const name = error.code.startsWith("ERR_") ? "" : ` (${error.code})`;
  return new LapidaryError({
    code,
    message: `cannot ${doing ?? doingOf(error)}: ${message}${name}`,
    location: where,
    remedy: near === undefined ? remedy : `did you mean ${near}?`,
    during,
    cause: error,
  });
}

/** The `LapidaryError` of an error of the operating system, otherwise `error` itself. For a `catch` around work with files. */
export function typedSystemError(error: unknown, attempt: Attempt = {}): unknown {
  return isSystemError(error) ? systemError(error, attempt) : error;
}

function placeOf({ code, path, dest, address, port, message }: SystemError): string | undefined {
  if (dest !== undefined) return dest;
  if (path !== undefined) return path;
  if (address !== undefined) return port === undefined ? address : `${address}:${port}`;
  // Node quotes the path in the message of an argument that it rejects.
  return code === "ERR_INVALID_ARG_VALUE" ? /Received (.+)$/.exec(message)?.[1] : undefined;
}

/** The action of a system call, for errors without a description of the work. */
const calls: Readonly<Record<string, string>> = {
  open: "open the file",
  mkdir: "create the directory",
  mkdtemp: "create the directory",
  scandir: "list the directory",
  opendir: "list the directory",
  read: "read the file",
  readlink: "read the link",
  write: "write the file",
  writev: "write the file",
  rename: "move the file to its place",
  link: "link the file",
  symlink: "link the file",
  copyfile: "copy the file",
  unlink: "remove the file",
  rm: "remove the file",
  rmdir: "remove the directory",
  ftruncate: "shorten the file",
  fsync: "write the file to the disk",
  fdatasync: "write the file to the disk",
  stat: "look up the file",
  lstat: "look up the file",
  access: "look up the file",
  chmod: "set the permissions",
  connect: "connect",
  listen: "listen",
  bind: "listen",
  getaddrinfo: "look up the host",
};

const doingOf = ({ syscall }: SystemError): string =>
  calls[syscall ?? ""] ?? (syscall?.startsWith("spawn") === true ? "start a program" : "do it");
