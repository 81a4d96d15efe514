import { ExitCode, LapidaryError } from "./errors.js";

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

/** Whether the operating system refused something: such an error is never a mistake of Lapidary's own. */
export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== "string") return false;
  // Other arguments that Node refuses are mistakes of Lapidary's own.
  if (code === "ERR_INVALID_ARG_VALUE") return error.message.includes("null bytes");
  return Object.hasOwn(refusals, code) || (/^E[A-Z0-9]+$/.test(code) && (errno !== undefined || syscall !== undefined));
}

/** What Lapidary was doing when the operating system refused. */
export interface Attempt {
  /** `write the checkpoint`: goes on "cannot …". */
  readonly doing?: string;
  /** The path or address as the user knows it; what the error names by default. */
  readonly place?: string;
  /** Default: usage. */
  readonly exit?: ExitCode;
}

interface Refusal {
  /** Ends the code `LAP_FILE_…` or `LAP_NETWORK_…`. */
  readonly what: string;
  readonly area?: "NETWORK" | "SYSTEM";
  readonly message: string;
  readonly remedy: string;
}

/** What the errors of files and sockets mean, by POSIX name. */
const refusals: Readonly<Record<string, Refusal>> = {
  ENOENT: {
    what: "MISSING",
    message: "there is no such file or directory",
    remedy: "check the path; create the directory if it is missing",
  },
  EEXIST: { what: "EXISTS", message: "something is in its place already", remedy: "choose another place, or move away what is there" },
  ENOTDIR: {
    what: "NOT_DIRECTORY",
    message: "a part of the path is a file and not a directory",
    remedy: "choose another place, or move the file away",
  },
  EISDIR: { what: "IS_DIRECTORY", message: "it is a directory and not a file", remedy: "name a file" },
  ENOTEMPTY: { what: "NOT_EMPTY", message: "the directory is not empty", remedy: "choose another directory, or empty this one" },
  EACCES: { what: "PERMISSION", message: "permission is denied", remedy: "check the permissions and the owner, or choose another place" },
  EPERM: {
    what: "PERMISSION",
    message: "the operation is not permitted",
    remedy: "check the permissions and the owner, or choose another place",
  },
  EROFS: { what: "READ_ONLY", message: "the file system is read-only", remedy: "choose a place on another file system" },
  ENOSPC: { what: "NO_SPACE", message: "no space is left on the device", remedy: "free space there, or choose a place on another disk" },
  EDQUOT: { what: "NO_SPACE", message: "the disk quota is used up", remedy: "free space there, or choose a place on another disk" },
  EFBIG: {
    what: "TOO_LARGE",
    message: "the file grows larger than the system allows",
    remedy: "choose another file system, or raise `ulimit -f`",
  },
  ENAMETOOLONG: { what: "NAME", message: "the name is too long", remedy: "choose a shorter name" },
  EILSEQ: {
    what: "NAME",
    message: "the file system does not take such a name",
    remedy: "choose a name of letters, digits, `.`, `_` and `-`",
  },
  EINVAL: { what: "NAME", message: "the system does not take such a path or request", remedy: "choose another place" },
  ERR_INVALID_ARG_VALUE: { what: "NAME", message: "the path has a character that no path can have", remedy: "remove the character" },
  ERR_FS_FILE_TOO_LARGE: { what: "TOO_LARGE", message: "the file is larger than Node can read at once", remedy: "name a smaller file" },
  ERR_FS_EISDIR: { what: "IS_DIRECTORY", message: "it is a directory and not a file", remedy: "name a file" },
  ERR_WORKER_OUT_OF_MEMORY: {
    what: "NO_MEMORY",
    area: "SYSTEM",
    message: "a thread ran out of memory",
    remedy: "give Node more, as in NODE_OPTIONS=--max-old-space-size=8192, or take a smaller job",
  },
  ELOOP: { what: "LOOP", message: "its symbolic links go in a circle", remedy: "choose another place, or repair the links" },
  EMFILE: {
    what: "TOO_MANY_OPEN",
    area: "SYSTEM",
    message: "this process has too many files open",
    remedy: "raise the limit with `ulimit -n`, then run it again",
  },
  ENFILE: {
    what: "TOO_MANY_OPEN",
    area: "SYSTEM",
    message: "the system has too many files open",
    remedy: "close other programs, or raise the limit of the system, then run it again",
  },
  ENOMEM: { what: "NO_MEMORY", area: "SYSTEM", message: "no memory is left", remedy: "free memory, or run on a larger machine" },
  EAGAIN: {
    what: "BUSY",
    area: "SYSTEM",
    message: "the system has no resources for it now",
    remedy: "try again later; `ulimit -u` shows how many processes you may have",
  },
  EBUSY: { what: "BUSY", message: "it is in use", remedy: "choose another place, or end what uses it" },
  ETXTBSY: { what: "BUSY", message: "it is a program that runs", remedy: "choose another place, or end that program" },
  EIO: { what: "IO", message: "the device failed to read or write", remedy: "check the disk, or choose a place on another one" },
  ENODEV: { what: "IO", message: "there is no such device", remedy: "choose another place" },
  ENXIO: { what: "IO", message: "there is no such device, or nobody reads it", remedy: "choose another place" },
  ESTALE: { what: "IO", message: "the network file system lost it", remedy: "mount the file system again, or choose another place" },
  EXDEV: { what: "OTHER_DEVICE", message: "it is on another file system", remedy: "choose a place on the same file system" },
  EPIPE: {
    what: "CLOSED",
    area: "NETWORK",
    message: "the reader closed the connection",
    remedy: "start the reader again, then run it again",
  },
  EADDRINUSE: {
    what: "PORT_TAKEN",
    area: "NETWORK",
    message: "another process listens at this address",
    remedy: "stop that process, or choose another port",
  },
  EADDRNOTAVAIL: { what: "ADDRESS", area: "NETWORK", message: "this machine does not have the address", remedy: "choose another address" },
  ECONNREFUSED: { what: "REFUSED", area: "NETWORK", message: "nothing listens at the address", remedy: "start what should listen there" },
  ECONNRESET: { what: "CLOSED", area: "NETWORK", message: "the other side closed the connection", remedy: "try again" },
  ETIMEDOUT: {
    what: "TIMEOUT",
    area: "NETWORK",
    message: "the other side did not answer in time",
    remedy: "check the network, and try again",
  },
  EHOSTUNREACH: {
    what: "UNREACHABLE",
    area: "NETWORK",
    message: "there is no way to the host",
    remedy: "check the network and the address",
  },
  ENETUNREACH: {
    what: "UNREACHABLE",
    area: "NETWORK",
    message: "there is no way to the network",
    remedy: "check the network and the address",
  },
  ENOTFOUND: { what: "NO_HOST", area: "NETWORK", message: "no host has this name", remedy: "check the name and the network" },
  EAI_AGAIN: { what: "NO_HOST", area: "NETWORK", message: "the name server does not answer", remedy: "check the network, and try again" },
};

/**
 * The error that tells a person what the operating system refused, where, and what to do about it.
 *
 * Codes: `LAP_FILE_…`, `LAP_NETWORK_…` and `LAP_SYSTEM_…`; the same POSIX name gives the same code for ever.
 */
export function systemError(error: SystemError, { doing, place, exit = ExitCode.usage }: Attempt = {}): LapidaryError {
  const {
    area = "FILE",
    what,
    message,
    remedy,
  } = refusals[error.code] ?? {
    area: "SYSTEM" as const,
    what: "REFUSED",
    message: `the operating system refused: ${error.message}`,
    remedy: "check the path and the machine, or choose another place",
  };
  const where = place ?? placeOf(error);
  const name = error.code.startsWith("ERR_") ? "" : ` (${error.code})`;
  return new LapidaryError({
    code: `LAP_${area}_${what}`,
    message: `cannot ${doing ?? doingOf(error)}: ${message}${name}`,
    ...(where === undefined ? {} : { place: where }),
    remedy,
    exit,
    cause: error,
  });
}

/** `error` itself, or what it says of the operating system: for a `catch` around work with files. */
export function typedSystemError(error: unknown, attempt: Attempt = {}): unknown {
  return isSystemError(error) ? systemError(error, attempt) : error;
}

function placeOf({ code, path, dest, address, port, message }: SystemError): string | undefined {
  if (dest !== undefined) return dest;
  if (path !== undefined) return path;
  if (address !== undefined) return port === undefined ? address : `${address}:${port}`;
  // Node quotes the path in the message of an argument that it refuses.
  return code === "ERR_INVALID_ARG_VALUE" ? /Received (.+)$/.exec(message)?.[1] : undefined;
}

/** What a call of the system does, for errors that nobody says more about. */
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
