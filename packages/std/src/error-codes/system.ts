import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: files, network and operating system. */
export const systemErrors = {
  LAP_FILE_MISSING: { exit: ExitCode.usage, recoverable: false, summary: "A file or directory does not exist." },
  LAP_FILE_EXISTS: { exit: ExitCode.usage, recoverable: false, summary: "A file or directory already exists." },
  LAP_FILE_NOT_DIRECTORY: { exit: ExitCode.usage, recoverable: false, summary: "A part of the path is not a directory." },
  LAP_FILE_IS_DIRECTORY: { exit: ExitCode.usage, recoverable: false, summary: "The path is a directory." },
  LAP_FILE_NOT_EMPTY: { exit: ExitCode.usage, recoverable: false, summary: "The directory is not empty." },
  LAP_FILE_PERMISSION: { exit: ExitCode.usage, recoverable: false, summary: "Permission is denied." },
  LAP_FILE_READ_ONLY: { exit: ExitCode.usage, recoverable: false, summary: "The file system is read-only." },
  LAP_FILE_NO_SPACE: { exit: ExitCode.usage, recoverable: false, summary: "The disk or the quota is full." },
  LAP_FILE_TOO_LARGE: { exit: ExitCode.usage, recoverable: false, summary: "The file is too large." },
  LAP_FILE_NAME: { exit: ExitCode.usage, recoverable: false, summary: "The path is not a valid file name." },
  LAP_FILE_LOOP: { exit: ExitCode.usage, recoverable: false, summary: "Symbolic links form a cycle." },
  LAP_FILE_BUSY: { exit: ExitCode.usage, recoverable: false, summary: "The file is in use." },
  LAP_FILE_IO: { exit: ExitCode.usage, recoverable: false, summary: "The device failed to read or write." },
  LAP_FILE_OTHER_DEVICE: { exit: ExitCode.usage, recoverable: false, summary: "The two paths are on different file systems." },
  LAP_NETWORK_CLOSED: { exit: ExitCode.usage, recoverable: false, summary: "The peer closed the connection." },
  LAP_NETWORK_PORT_TAKEN: { exit: ExitCode.usage, recoverable: false, summary: "Another process listens on the address." },
  LAP_NETWORK_ADDRESS: { exit: ExitCode.usage, recoverable: false, summary: "The machine does not have the address." },
  LAP_NETWORK_REFUSED: { exit: ExitCode.usage, recoverable: false, summary: "No process listens on the address." },
  LAP_NETWORK_TIMEOUT: { exit: ExitCode.usage, recoverable: false, summary: "The peer did not answer in time." },
  LAP_NETWORK_UNREACHABLE: { exit: ExitCode.usage, recoverable: false, summary: "The host or network is unreachable." },
  LAP_NETWORK_NO_HOST: { exit: ExitCode.usage, recoverable: false, summary: "The host name cannot be resolved." },
  LAP_SYSTEM_NO_MEMORY: { exit: ExitCode.usage, recoverable: false, summary: "No memory is left." },
  LAP_SYSTEM_TOO_MANY_OPEN: { exit: ExitCode.usage, recoverable: false, summary: "Too many files are open." },
  LAP_SYSTEM_BUSY: { exit: ExitCode.usage, recoverable: false, summary: "The system has no resources left for the request." },
  LAP_SYSTEM_REFUSED: { exit: ExitCode.usage, recoverable: false, summary: "The operating system refused the request." },
} as const satisfies ErrorTable;
