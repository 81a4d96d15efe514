import { statSync } from "node:fs";

/**
 * The identity of a directory: inode and time of creation. A rename keeps both, and a copy has another identity. Files in the
 * directory that name a process or a socket contain this stamp, so that they are ignored in a copy.
 */
export function directoryStamp(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true });
  return `${ino} ${birthtimeNs}`;
}
